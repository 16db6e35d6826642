/**
 * What a damaged image may lead to, and nothing else. For whatever bytes, with bounded work and memory:
 *
 *     refused   a typed error that names what it met and where, and `check` finds something wrong too, or says that
 *               such images are not read here
 *     found     content is given, whatever it is, and `check` finds something wrong
 *     same      the content is what it was before the damage
 *     payload   the damage hit bytes of the guest, and these are what is read
 *     doubted   the content is another one, no other program reads the same, and `check` finds something doubtful
 *     agreed    the content is another one, and another program reads the same: the damage made another good image
 *
 * So what is promised is this. Structures under a checksum: no damage passes, unless the checksum was made right too.
 * Structures without one (the tables of VHD and qcow2, what VHDX keeps in its tables of blocks and of metadata): what
 * points out of the file, or to where something else is, or cannot be, is wrong to `check`; an entry that says "nothing
 * is here", or that points to bytes that nobody uses, is what a good image may say, and no reader can know better. The
 * same holds for compressed bytes, which have no checksum: where they cannot be unpacked, reading says so, and `check`,
 * which does not read what the guest wrote, does not.
 */
import { TransferError } from '../../src/core/errors.js';
import { MiB } from '../../src/core/units.js';
import { type ChainLink, DiskChain } from '../../src/disk/chain.js';
import { formatNamed, openImage } from '../../src/disk/formats.js';
import type { DiskBytes, DiskFormat, Finding } from '../../src/disk/image.js';
import { contentDifference, readAll } from '../support/disk-content.js';
import { SparseContent } from '../support/sparse-content.js';
import { ALLOCATION_BYTES_MAX, largestAllocation, memoryExceeded, resetMemory } from './allocations.js';

export interface Verdict {
  readonly kind: 'refused' | 'found' | 'same' | 'payload' | 'agreed' | 'doubted' | 'failed';
  /** What was said, or what is wrong with the answer. */
  readonly why: string;
}

/** Reads the damaged image by another program, to compare it with what the chain says. */
type Reader = (chain: DiskChain) => Promise<SparseContent>;

export interface Damaged {
  readonly bytes: DiskBytes;
  readonly format: DiskFormat;
  /** What it builds on, as far as it still says that it does. */
  readonly under: readonly ChainLink[];
  /** What it must call the first of them, to find it. */
  readonly parentName: string;
  /** Before the damage. */
  readonly content: SparseContent;
  /** With those bytes of the guest that were changed. */
  readonly changed: SparseContent;
  /** What other programs read: asked when nothing else explains the content. They throw where they refuse. */
  readonly theirs: readonly Reader[];
}

const SECTOR = 512;
const ONLY_READING_TELLS = ': compressed cluster';
const READS_MAX = 100_000;
const READ_BYTES_MAX = 1024 * MiB;
const FINDINGS_MAX = 4_000_000;

/** More work than any image of this size is worth: what a hang looks like, told without a clock. */
class Endless extends Error {}

export async function judge(damaged: Damaged): Promise<Verdict> {
  largestAllocation();
  const verdict = await bounded(damaged).catch(failure);
  const largest = largestAllocation();
  if (largest > ALLOCATION_BYTES_MAX) return { kind: 'failed', why: `a buffer of ${largest} bytes; ${verdict.why}` };
  return verdict;
}

export const failure = (thrown: unknown): Verdict => ({
  kind: 'failed',
  why: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
});

async function bounded(damaged: Damaged): Promise<Verdict> {
  const found = await checked(damaged);
  try {
    return await read(damaged, found);
  } catch (thrown) {
    const why = refusal(thrown);
    const told = found.wrong !== undefined || found.doubtful?.code === 'unsupported';
    if (told || why.includes(ONLY_READING_TELLS)) return { kind: 'refused', why };
    return { kind: 'failed', why: `check finds nothing wrong, and reading says: ${why}` };
  }
}

/** What an error says that is as errors must be. @throws the error when it is not */
function refusal(thrown: unknown): string {
  if (!(thrown instanceof TransferError && thrown.code === 'E_DISK_FORMAT')) throw thrown;
  if (!/\bbyte \d+/.test(thrown.message)) throw new Error(`an error without a place: ${thrown.message}`);
  return thrown.message;
}

/** What is wrong with the image, if anything is. */
export async function wrongIn(bytes: DiskBytes, format: DiskFormat): Promise<Finding | undefined> {
  return (await checked({ bytes, format })).wrong;
}

/** The first findings of each severity. */
type Found = Partial<Record<Finding['severity'], Finding>>;

async function checked({ bytes, format }: Pick<Damaged, 'bytes' | 'format'>): Promise<Found> {
  const found: { -readonly [K in keyof Found]: Found[K] } = {};
  let count = 0;
  const add = (finding: Finding): void => {
    if (++count > FINDINGS_MAX) throw new Endless(`more than ${FINDINGS_MAX} findings`);
    if (!(finding.code && finding.message)) throw new Error(`a finding without code or message: ${finding.code}`);
    found[finding.severity] ??= finding;
  };
  await (await formatNamed(format)).check(counted(bytes), { add });
  return found;
}

async function read(damaged: Damaged, { wrong, doubtful }: Found): Promise<Verdict> {
  const { bytes, format, under, content, changed } = damaged;
  const child = { bytes: counted(bytes), image: await openImage(counted(bytes), format) };
  const { parent } = child.image;
  if (parent && !parent.paths.some(({ path }) => path === damaged.parentName)) {
    return { kind: 'refused', why: `the parent is ${parent.paths[0]?.path}, and there is none` };
  }
  const chain = new DiskChain([child, ...(parent ? under : [])]);
  const why = await contentDifference(chain, changed);
  if (why === undefined)
    return { kind: changed === content ? 'same' : 'payload', why: (wrong ?? doubtful)?.code ?? 'nothing found' };
  if (wrong) return { kind: 'found', why: `${wrong.code}: ${why}` };
  await readAll(chain);
  const said: string[] = [];
  for (const theirs of damaged.theirs) {
    const differs = await disagreement(chain, theirs);
    if (differs === undefined) return { kind: 'agreed', why };
    said.push(differs);
  }
  if (doubtful) return { kind: 'doubted', why: `${doubtful.code}: ${why}` };
  return { kind: 'failed', why: [why, ...said].join('; elsewhere: ') };
}

async function disagreement(chain: DiskChain, theirs: Reader): Promise<string | undefined> {
  let content: SparseContent;
  try {
    content = await theirs(chain);
  } catch (thrown) {
    return String(thrown);
  }
  // The other program's content is not what a reader takes.
  resetMemory();
  // QEMU counts in sectors, and what is no whole one it leaves out.
  const whole = content.size === chain.size - (chain.size % SECTOR);
  return contentDifference(chain, whole ? new SparseContent(chain.size, content.stretches) : content);
}

/** The same bytes, for as much work as is reasonable. */
function counted(bytes: DiskBytes): DiskBytes {
  let [reads, total] = [0, 0];
  return {
    ...bytes,
    read: (range, what) => {
      total += Math.max(0, range.length);
      if (++reads > READS_MAX || total > READ_BYTES_MAX) throw new Endless(`endless: ${reads} reads, ${total} bytes`);
      if (memoryExceeded()) throw new Error(`more memory than ${ALLOCATION_BYTES_MAX} bytes`);
      return bytes.read(range, what);
    },
  };
}
