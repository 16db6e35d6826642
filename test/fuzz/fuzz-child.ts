/**
 * The process that damages images and judges what is made of them: one JSON line for each case, before the next one
 * begins, so that whoever started it knows which case ended it. Its memory is watched, and its heap is small.
 */
import { argv, stdin, stdout } from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { type CorpusImage, diskCorpus } from '../support/disk-corpus.js';
import { resetMemory, watchAllocations } from './allocations.js';
import { FuzzSubject, type Outcome } from './fuzz-subject.js';

/** Comes by the standard input. */
export interface FuzzJob {
  /** The corpus. */
  readonly folder: string;
  readonly seed: number;
  /** In the order in which they are worked through: those of one image together. */
  readonly cases: readonly FuzzCase[];
}

/** The image is an index into the corpus. */
export interface FuzzCase {
  readonly number: number;
  readonly image: number;
}

/** One line of the output. */
export interface CaseReport extends FuzzCase, Outcome {}

/** As compiled, whoever asks. */
const SELF = import.meta.url.endsWith('.ts') ? '../../dist/test/fuzz/fuzz-child.js' : './fuzz-child.js';
export const FUZZ_CHILD = fileURLToPath(new URL(SELF, import.meta.url));

if (argv[1] === FUZZ_CHILD) {
  watchAllocations();
  // A file's read would not wait for what the pipe has not brought yet.
  await work(JSON.parse(await text(stdin)) as FuzzJob);
}

async function work({ folder, seed, cases }: FuzzJob): Promise<void> {
  const corpus = diskCorpus(folder);
  let open: { readonly image: number; readonly subject: FuzzSubject } | undefined;
  for (const one of cases) {
    if (open?.image !== one.image) {
      open?.subject.close();
      open = { image: one.image, subject: await FuzzSubject.open(corpus[one.image] as CorpusImage) };
      resetMemory();
    }
    const outcome = await open.subject.run(seed + one.number);
    // Other programs were asked, and what they said was not counted.
    if (['agreed', 'doubted', 'failed'].includes(outcome.kind)) resetMemory();
    stdout.write(`${JSON.stringify({ ...one, ...outcome } satisfies CaseReport)}\n`);
  }
  open?.subject.close();
}
