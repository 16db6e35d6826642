/** Throws away what a copy left behind that is not going to be finished: its partial data and its journal. */
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { TargetLayout, TargetSite } from '../core/target.js';
import type { ChunkRunner } from './chunk-runner.js';

export interface Leaving {
  readonly target: Location;
  /** What the file is called inside a target that is a folder. */
  readonly sourceName: string;
}

/** Nothing that has its name is touched. @throws TransferError E_LOCKED while a run has it */
export async function discardPartial({ target, sourceName }: Leaving, runner: ChunkRunner): Promise<void> {
  const site = await runner.run('locate-target', { location: target, sourceName });
  const layout = site.partialOnRecord ? await layoutOnRecord(site, runner) : undefined;
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

/** A journal that says nothing is as good as none: the discarding goes on without it. */
export async function layoutOnRecord(
  { journalPath: path }: TargetSite,
  runner: ChunkRunner,
): Promise<TargetLayout | undefined> {
  try {
    return (await runner.run('peek-journal', { path }))?.header.layout;
  } catch (thrown) {
    if (thrown instanceof TransferError && thrown.code.startsWith('E_JOURNAL')) return undefined;
    throw thrown;
  }
}
