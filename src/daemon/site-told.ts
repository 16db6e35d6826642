/** What a client hears of a place that it may copy to. */
import type { CallAnswer } from '../core/peer-wire.js';
import type { PartialOnRecord, TargetSite } from '../core/target.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { partialOnRecord } from '../transfer/partial-status.js';
import type { Found } from './roots.js';

type SiteTold = CallAnswer<'locate-target'>['site'];

export async function siteTold({ path, name }: Found, site: TargetSite, runner: ChunkRunner): Promise<SiteTold> {
  const { existing, adopts, partial, freeBytes } = site;
  const record = partial && (await recordOf(site, runner));
  return {
    ...{ path, fileName: name },
    ...(existing && { existing }),
    ...(adopts && { adopts }),
    ...(partial && { partial }),
    ...(record && { record }),
    ...(freeBytes !== undefined && { freeBytes }),
  };
}

/** Of a copy from another host, as clients have made here. What else is copied here is not their business. */
async function recordOf({ journalPath }: TargetSite, runner: ChunkRunner): Promise<PartialOnRecord | undefined> {
  // A journal that cannot be read is for whoever goes on with the copy to hear of.
  const content = await runner.run('peek-journal', { path: journalPath }).catch(() => undefined);
  return content?.header.sourceName.startsWith('peer://') ? partialOnRecord(content) : undefined;
}
