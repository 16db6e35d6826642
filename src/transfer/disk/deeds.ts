/** Carries out the entries about disk images in the table of work, on the thread that it is called on. */
import type { Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import { checkChain } from '../../disk/check.js';
import { describeChain } from '../../disk/describe.js';
import { OpenDiskFile } from '../../disk/disk-file.js';
import { mapAlone, mapChain } from '../../disk/disk-map.js';
import { mergeStep } from '../../disk/merge.js';
import { planMerge, realLocation } from '../../disk/merge-plan.js';
import { type ChainOpener, openAlone, openChain } from '../../disk/open-chain.js';
import { setParent } from '../../disk/set-parent.js';
import { parseLocation } from '../../endpoint/location.js';
import { ability, type Registry, schemeOf } from '../../endpoint/registry.js';
import { realFiles } from '../../platform/file-layer.js';
import { isOpenForWriting } from '../../platform/open-elsewhere.js';
import type { ControlBlock, SharedControl } from '../control-block.js';
import type { Pace } from '../pace.js';
import type { DiskWork } from './tasks.js';

/** What this thread holds of a merge's job. */
export interface MergeJob {
  readonly control: ControlBlock;
  readonly pace: Pace;
  readonly signal: AbortSignal;
}

type Deeds = { [N in keyof DiskWork]: (request: DiskWork[N]['in']) => Promise<DiskWork[N]['out']> };

export function diskDeeds(registry: Registry, attach: (control: SharedControl) => Promise<MergeJob>): Deeds {
  const opener: ChainOpener = {
    open: async (location) => {
      const scheme = await schemeOf(registry, location.scheme);
      try {
        return await ability(scheme, location.name, 'openSource')(location);
      } catch (thrown) {
        // Its hint speaks of copies.
        if (!(thrown instanceof TransferError) || thrown.code !== 'E_SOURCE_KIND') throw thrown;
        throw new TransferError(thrown.code, thrown.message, { hint: 'Give the image itself.', cause: thrown.cause });
      }
    },
    locate: parseLocation,
  };
  return {
    'describe-disk': (request) =>
      describeChain(request, { ...opener, isWritten: ({ location }) => isWritten(location) }),
    'map-disk': async ({ alone, cells, ...request }) => {
      const opened = alone ? await openAlone(request, opener) : await openChain(request, opener);
      try {
        const names = opened.links.map(({ source }) => source.name);
        const [first] = opened.links;
        const map =
          alone && first ? mapAlone(first.image, names[0] ?? '', cells) : mapChain(opened.chain, names, cells);
        return await map;
      } finally {
        await opened.close();
      }
    },
    'check-disk': (request) => checkChain(request, opener),
    'set-disk-parent': (change) => setParent(change, opener, realFiles),
    'plan-merge': (wish) => planMerge(wish, opener, realFiles),
    'merge-disk': async ({ step, control: shared }) => {
      const { control, pace, signal } = await attach(shared);
      return mergeStep(step, {
        files: realFiles,
        opener,
        stopped: () => control.stopped,
        counted: (bytes) => control.add('writtenBytes', BigInt(bytes)),
        pace: (bytes) => (pace.limited ? pace.take(bytes, signal) : undefined),
      });
    },
  };
}

/** Where it cannot be asked it is not known; that it cannot be opened is told by who reads it. */
function isWritten(location: Location): boolean | undefined {
  if (location.scheme !== 'file') return undefined;
  let file: OpenDiskFile | undefined;
  try {
    file = OpenDiskFile.open(realFiles, realLocation(location).text, 'read');
    return isOpenForWriting(file.fd);
  } catch (thrown) {
    if (thrown instanceof TransferError) return undefined;
    throw thrown;
  } finally {
    file?.close();
  }
}
