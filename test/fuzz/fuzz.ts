/**
 * Runs the cases in a process of their own, and another one after each that crashed, ran out of memory or did not end.
 * A case is known by its number and the seed; the number tells the image.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { execPath } from 'node:process';
import { createInterface } from 'node:readline';
import { MiB } from '../../src/core/units.js';
import { type CorpusImage, diskCorpus } from '../support/disk-corpus.js';
import { type CaseReport, FUZZ_CHILD, type FuzzCase, type FuzzJob } from './fuzz-child.js';

const FILE_BYTES_MAX = 64 * MiB;
/** Larger ones take long, and come once in so many cases. */
const LARGE_BYTES = 16 * MiB;
const LARGE_EACH = 40;
const HEAP_MIB = 128;
/** Far beyond what any case takes, also on a busy machine. */
const CASE_MS_MAX = 60_000;
/** Of processes: after so many the rest is not worth the time. */
const ENDS_MAX = 25;
const STDERR_CHARACTERS_MAX = 4000;

export interface FuzzOptions {
  readonly folder: string;
  readonly cases: number;
  readonly seed: number;
  /** Only this case. */
  readonly only?: number;
  readonly report: (report: CaseReport & { readonly name: string }) => void;
}

export async function fuzz({ folder, cases, seed, only, report }: FuzzOptions): Promise<void> {
  const corpus = diskCorpus(folder);
  const all = only === undefined ? Array.from({ length: cases }, (_, number) => number) : [only];
  let left = all.map((number) => caseOf(corpus, number)).sort((one, other) => one.image - other.image);
  for (let ends = 0; left.length > 0 && ends < ENDS_MAX; ends++) {
    let done = 0;
    const ended = await runChild({ folder, seed, cases: left }, (one) => {
      done++;
      report({ ...one, name: corpus[one.image]?.name ?? '' });
    });
    const [last] = left.slice(done);
    if (last) {
      report({
        ...last,
        kind: 'failed',
        why: `the process ended: ${ended}`,
        damage: '',
        name: corpus[last.image]?.name ?? '',
      });
    }
    left = left.slice(done + 1);
  }
}

export function caseOf(corpus: readonly CorpusImage[], number: number): FuzzCase {
  const subjects = [...corpus.keys()].filter((index) => isSubject(corpus[index] as CorpusImage));
  const [small, large] = [
    subjects.filter((index) => !isLarge(corpus[index])),
    subjects.filter((index) => isLarge(corpus[index])),
  ];
  const turn = Math.floor(number / LARGE_EACH);
  const image = number % LARGE_EACH === 0 ? large[turn % large.length] : small[number % small.length];
  return { number, image: image ?? 0 };
}

const isLarge = (image: CorpusImage | undefined): boolean => bytesOf(image) > LARGE_BYTES;

const bytesOf = (image: CorpusImage | undefined): number => statSync(image?.links[0]?.path ?? '').size;

/** A raw disk has nothing that could be damaged; and of large files no more is learnt than of small ones. */
function isSubject(image: CorpusImage): boolean {
  return image.links[0]?.format !== 'raw' && bytesOf(image) <= FILE_BYTES_MAX;
}

/** Returns how the process ended. */
async function runChild(job: FuzzJob, report: (report: CaseReport) => void): Promise<string> {
  const args = ['--expose-gc', `--max-old-space-size=${HEAP_MIB}`, FUZZ_CHILD];
  const child = spawn(execPath, args, { stdio: 'pipe' });
  // A process that ends before it has read tells more by how it ended.
  child.stdin.on('error', () => undefined);
  // Too long for an argument, where there are many cases.
  child.stdin.end(JSON.stringify(job));
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-STDERR_CHARACTERS_MAX);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill('SIGKILL');
  }, CASE_MS_MAX);
  const closed = once(child, 'close');
  for await (const line of createInterface({ input: child.stdout })) {
    timer.refresh();
    report(JSON.parse(line) as CaseReport);
  }
  await closed;
  clearTimeout(timer);
  return late ? `no end after ${CASE_MS_MAX} ms` : `${child.exitCode ?? child.signalCode} ${said}`;
}
