/** A tree copy on this one thread, with the file calls of the test's choice. */
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { FileJournals } from '../../src/journal/file-journal.js';
import { TreeJournals } from '../../src/journal/tree-journal.js';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { Performer } from '../../src/transfer/perform.js';
import { TreeCopy, type TreeRequest } from '../../src/tree/tree-copy.js';
import { FakeClock } from './fake-clock.js';

export interface InlineTreeOptions extends Partial<Omit<TreeRequest, 'sources' | 'target'>> {
  readonly sources: readonly string[];
  readonly target: string;
  readonly files?: FileLayer;
  readonly workers?: number;
}

/** A copy that was not started yet. */
export function inlineTree({ sources, target, files = realFiles, workers = 1, ...rest }: InlineTreeOptions): TreeCopy {
  const clock = new FakeClock({ lookMs: 1 });
  const journals = new FileJournals(files);
  const treeJournals = async () => new TreeJournals(files, journals);
  const parts = { registry: { file: () => localScheme(files) }, journals, treeJournals, clock };
  const request: TreeRequest = {
    ...{ algorithm: 'xxh64', rateBytesPerSecond: 0, sync: true, readBack: false, overwrite: false, discard: false },
    ...{ recursive: true, preserve: false, dryRun: false, include: [], exclude: [] },
    ...rest,
    sources: sources.map((source) => parseLocation(source)),
    target: parseLocation(target),
  };
  const runner = new InlineRunner(new Performer(parts), workers);
  return new TreeCopy(request, { runner, clock, random: () => 0.5 });
}

/** Real file calls; `before` is told of each opening of a path, and may change the world first. */
export function watchedFiles(before: (path: string) => void): FileLayer {
  return {
    ...realFiles,
    openSync: (path, flags, mode) => {
      before(String(path));
      return realFiles.openSync(path, flags, mode);
    },
  };
}
