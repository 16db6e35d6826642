/** Throws away what a copy left behind that is not going to be finished: its partial data and its journal. */
import type { Location } from '../core/endpoint.js';
import type { TargetLayout, TargetSite } from '../core/target.js';
import type { ChunkRunner } from './chunk-runner.js';
import { layoutOnRecord } from './layout-on-record.js';

export interface Leaving {
  readonly target: Location;
  /** What the file is called inside a target that is a folder. */
  readonly sourceName: string;
}

/** Nothing that has its name is touched. @throws TransferError E_LOCKED while a run has it */
export async function discardPartial({ target, sourceName }: Leaving, runner: ChunkRunner): Promise<void> {
  const site = await runner.run('locate-target', { location: target, sourceName });
  const peek = () => runner.run('peek-journal', { path: site.journalPath });
  const layout = site.partialOnRecord ? await layoutOnRecord(peek) : undefined;
  const { ref: journal } = await runner.run('open-journal', { path: site.journalPath, forget: true });
  try {
    if (hasPartial(site, layout)) await runner.run('discard-partial', { ref: site.ref, layout });
  } catch (thrown) {
    await runner.run('close-journal', { ref: journal });
    throw thrown;
  }
  await runner.run('drop-journal', { ref: journal, sync: true });
}

/** What is written in place has no partial data of its own: what was there before is gone already. */
function hasPartial(site: TargetSite, layout: TargetLayout | undefined): boolean {
  return site.publish === 'atomic' && (site.partialOnRecord ? layout !== undefined : site.partial !== undefined);
}
