/** Reads a range of a chain, run by run: by the containers' own readers, one for each run, however long it is. */
import type { ByteRange } from '../core/chunk.js';
import type { ChunkReader } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import type { ChainRun, DiskChain } from './chain.js';
import { diskError } from './disk-bytes.js';
import { madeReader, type Stretch, StretchReader, ZEROES } from './stretch-reader.js';

/** Runs may be as short as a sector: those of so many bytes are held at a time. */
const WINDOW_BYTES = 8 * MiB;

type OpenPlace = (link: number, place: ByteRange) => ChunkReader;

export function readRuns(chain: DiskChain, { offset, length }: ByteRange, openPlace: OpenPlace): ChunkReader {
  const end = offset + length;
  let [from, next] = [offset, 0];
  let runs: readonly ChainRun[] = [];
  const look = async (): Promise<Stretch | undefined> => {
    const window = { offset: from, length: Math.min(WINDOW_BYTES, end - from) };
    runs = await joinedRuns(chain, window);
    next = 1;
    from += window.length;
    return stretchOf(runs[0] as ChainRun, openPlace);
  };
  return new StretchReader(() => {
    const run = runs[next++];
    if (run) return stretchOf(run, openPlace);
    return from < end ? look() : undefined;
  });
}

function stretchOf(run: ChainRun, openPlace: OpenPlace): Stretch {
  const { length } = run;
  if (run.kind === 'data') return { length, reader: openPlace(run.link, { offset: run.at, length }) };
  return { length, reader: run.kind === 'zero' ? ZEROES : madeReader(run.make) };
}

/** Those that go on as the last one ended are one with it. */
async function joinedRuns(chain: DiskChain, window: ByteRange): Promise<ChainRun[]> {
  const runs: ChainRun[] = [];
  let covered = 0;
  for await (const run of chain.runs(window)) {
    covered += run.length;
    if (run.length === 0) continue;
    assertInside(chain, run);
    const joined = join(runs.at(-1), run);
    if (joined) runs[runs.length - 1] = joined;
    else runs.push(run);
  }
  if (covered === window.length) return runs;
  throw new TransferError('E_BUG', `runs of ${covered} bytes were given for ${window.length}`);
}

/** The formats look at what their files say; a mistake of theirs must not become one of the copy. */
function assertInside(chain: DiskChain, run: ChainRun): void {
  if (run.kind !== 'data') return;
  const bytes = chain.links[run.link]?.bytes;
  if (bytes && run.at >= 0 && run.at <= bytes.size - run.length) return;
  throw diskError(bytes?.name ?? '', 'data', run.at, `${run.length} bytes inside the file`, `${bytes?.size} bytes`);
}

function join(one: ChainRun | undefined, other: ChainRun): ChainRun | undefined {
  const length = (one?.length ?? 0) + other.length;
  if (one?.kind === 'zero' && other.kind === 'zero') return { ...one, length };
  if (one?.kind !== 'data' || other.kind !== 'data') return undefined;
  return one.link === other.link && one.at + one.length === other.at ? { ...one, length } : undefined;
}
