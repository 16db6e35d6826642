/**
 * Looks for all that is wrong with an image and with the images that it builds on. What a format checks in one file it
 * does itself; what several files say of one another is checked here.
 */
import { TransferError } from '../core/errors.js';
import { diskBytes, UnsupportedImage, unsupported } from './disk-bytes.js';
import { formatNamed, probeFormat } from './formats.js';
import type { DiskBytes, DiskFormat, Finding, Findings } from './image.js';
import { whyNotRaw } from './not-raw.js';
import { ChainError, type ChainOpener, type ChainProblem, type ChainRequest, openChain } from './open-chain.js';

/** Of one file; more are counted. A damaged table can have a finding for each of a million entries. */
const FINDINGS_MAX = 200;

/** Keeps the first of what is found, the worst kind first, and counts the rest. */
export class FindingList implements Findings {
  readonly #kept: Finding[] = [];
  #more = 0;

  add(finding: Finding): void {
    if (this.#kept.length < FINDINGS_MAX) this.#kept.push(finding);
    else {
      this.#more++;
      // That the content cannot be trusted must not be lost behind what is only doubtful.
      const doubtful =
        finding.severity === 'wrong' ? this.#kept.findLastIndex((one) => one.severity === 'doubtful') : -1;
      if (doubtful >= 0) this.#kept.splice(doubtful, 1, finding);
    }
  }

  get findings(): readonly Finding[] {
    return this.#kept;
  }

  get more(): number {
    return this.#more;
  }

  get wrong(): boolean {
    return this.#kept.some(({ severity }) => severity === 'wrong');
  }
}

/** What is wrong with one file of a chain. */
export interface CheckedImage {
  readonly name: string;
  readonly format: DiskFormat;
  readonly findings: readonly Finding[];
  /** Findings that are not listed. */
  readonly more: number;
}

export interface DiskCheck {
  /** Nothing is wrong; something may be doubtful. */
  readonly sound: boolean;
  /** The image that was asked about, then those that it builds on. */
  readonly images: readonly CheckedImage[];
}

interface Checked {
  readonly name: string;
  readonly format: DiskFormat;
  readonly found: FindingList;
}

/** @throws TransferError where the image cannot be opened or read at all; that something is wrong is an answer */
export async function checkChain(request: ChainRequest, opener: ChainOpener): Promise<DiskCheck> {
  const source = await opener.open(request.location);
  const checked: Checked[] = [];
  try {
    const bytes = diskBytes(source);
    checked.push(request.format ? await checkOne(bytes, request.format) : await checkProbed(bytes));
  } finally {
    await source.close();
  }
  await checkParents(request, opener, checked);
  const images = checked.map(({ name, format, found: { findings, more } }) => ({ name, format, findings, more }));
  return { sound: !checked.some(({ found }) => found.wrong), images };
}

/** Of a format that nobody says: what its own marks say. @throws TransferError where the file cannot be read */
export async function checkProbed(bytes: DiskBytes, probed?: DiskFormat): Promise<Checked> {
  const checked = await checkOne(bytes, probed ?? (await probeFormat(bytes)));
  const why = checked.format === 'raw' ? await whyNotRaw(bytes) : undefined;
  if (why) checked.found.add(why);
  return checked;
}

/** @throws TransferError where the file cannot be read */
export async function checkOne(bytes: DiskBytes, format: DiskFormat): Promise<Checked> {
  const found = new FindingList();
  try {
    await (await formatNamed(format)).check(bytes, found);
  } catch (thrown) {
    // A check that meets the damage it was to tell of has told it.
    found.add(damageOf(thrown));
  }
  return { name: bytes.name, format, found };
}

async function checkParents(request: ChainRequest, opener: ChainOpener, checked: Checked[]): Promise<void> {
  let childBytes: number | undefined;
  const onOpened: ChainRequest['onOpened'] = async ({ bytes, image }) => {
    if (childBytes === undefined) {
      childBytes = image.size;
      return;
    }
    const child = checked.at(-1) as Checked;
    if (image.size !== childBytes) child.found.add(sizesDiffer(childBytes, bytes.name, image.size));
    childBytes = image.size;
    const looksLike = await probeFormat(bytes);
    if (image.format === 'raw' && looksLike !== 'raw') child.found.add(takenForRaw(bytes.name, looksLike));
    checked.push(await checkOne(bytes, image.format));
  };
  try {
    await (await openChain({ ...request, onOpened }, opener)).close();
  } catch (thrown) {
    const { found } = checked.at(-1) as Checked;
    const damage = damageOf(thrown);
    // What cannot be opened for a reason that is told already is told once.
    const told = found.wrong || found.findings.some(({ message }) => message === damage.message);
    if ((damage.code !== 'unreadable' && damage.code !== 'unsupported') || !told) found.add(damage);
  }
}

const PROBLEMS: Readonly<Record<ChainProblem, string>> = {
  missing: 'chain-parent-missing',
  other: 'chain-parent-other',
  cycle: 'chain-cycle',
  long: 'chain-long',
};

/** @throws what is no damage of an image, such as a failing storage */
function damageOf(thrown: unknown): Finding {
  if (thrown instanceof ChainError) {
    return { code: PROBLEMS[thrown.problem], severity: 'wrong', message: thrown.message };
  }
  if (!(thrown instanceof TransferError) || thrown.code !== 'E_DISK_FORMAT') throw thrown;
  if (thrown instanceof UnsupportedImage) return unsupported(thrown);
  return { code: 'unreadable', severity: 'wrong', message: thrown.message };
}

function sizesDiffer(childBytes: number, parent: string, parentBytes: number): Finding {
  const longer = childBytes > parentBytes;
  return {
    code: 'chain-sizes',
    severity: 'doubtful',
    message: `the disk has ${childBytes} bytes and its parent ${parent} ${parentBytes}: ${
      longer ? 'behind the parent it reads as zero' : 'the end of the parent is cut off'
    }`,
  };
}

function takenForRaw(name: string, format: DiskFormat): Finding {
  return {
    code: 'chain-taken-for-raw',
    severity: 'doubtful',
    message: `${name} is taken for raw, as its child says, and looks like ${format}`,
  };
}
