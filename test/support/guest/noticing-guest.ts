/**
 * The guest that notices: built once for each user and version of its sources, and kept in the system's temporary
 * folder; and what tests ask of one that runs.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { systemClock } from '../../../src/core/clock.js';
import { fetchKernel, initramfsOf } from '../guest.js';

/** The sources of the guest are not compiled with the rest, so a compiled form of this looks where they are. */
const here = import.meta.dirname.replace('/dist/test/', '/test/');
const SOURCES = ['record.h', 'guest.c', 'scan.c'];
/** The machine that runs the tests may have much else to do. */
const PATIENCE_MS = 120_000;
const LOOK_MS = 20;

/** Paths of what was built. */
export interface BuiltGuest {
  readonly kernel: string;
  readonly initrd: string;
  readonly scan: string;
}

/** The guest, or why there can be none here. */
export function buildGuest(): BuiltGuest | string {
  const hash = createHash('sha256');
  for (const name of SOURCES) hash.update(readFileSync(join(here, name)));
  const folder = join(tmpdir(), `blockferry-guest-${process.getuid?.()}-${hash.digest('hex').slice(0, 12)}`);
  const built = { kernel: join(folder, 'vmlinuz'), initrd: join(folder, 'initrd.gz'), scan: join(folder, 'scan') };
  if (existsSync(built.initrd)) return built;
  const scratch = mkdtempSync(`${folder}-`);
  try {
    const failure = buildIn(scratch);
    if (failure !== undefined) return failure;
    // Two test files may build it at the same time; the first one counts.
    if (!existsSync(folder)) renameSync(scratch, folder);
    return built;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

function buildIn(folder: string): string | undefined {
  const compiled = [
    ['-static', '-o', join(folder, 'init'), join(here, 'guest.c')],
    ['-o', join(folder, 'scan'), join(here, 'scan.c')],
  ].map((args) => spawnSync('gcc', ['-O2', '-Wall', '-Werror', ...args], { encoding: 'utf8' }));
  const failed = compiled.find(({ status }) => status !== 0);
  if (failed) return `gcc: ${failed.error?.message ?? failed.stderr}`;
  const kernel = fetchKernel(join(folder, 'packages'));
  if (typeof kernel === 'string') return kernel;
  renameSync(kernel.kernel, join(folder, 'vmlinuz'));
  const initramfs = initramfsOf(kernel.modules, [['init', readFileSync(join(folder, 'init'))]]);
  writeFileSync(join(folder, 'initrd.gz'), gzipSync(initramfs));
  rmSync(join(folder, 'packages'), { recursive: true });
  return undefined;
}

export interface Heartbeat {
  readonly seq: number;
  readonly corrupt: number;
  readonly errors: number;
  /** Of this start of the guest, and of no other. */
  readonly boot: string;
}

/** Of one disk: slots that are wrong or written to, the last record, and a digest over what the slots hold. */
export interface DiskContent {
  readonly wrong: number;
  readonly used: number;
  readonly seq: number;
  readonly digest: string;
}

/** A guest that runs, known by what it says. */
export class Guest {
  readonly #consoleLog: string;
  readonly #socket: string;

  /** @param socket of its console; a short path */
  constructor(consoleLog: string, socket: string) {
    this.#consoleLog = consoleLog;
    this.#socket = socket;
  }

  get said(): string {
    return existsSync(this.#consoleLog) ? readFileSync(this.#consoleLog, 'latin1') : '';
  }

  get saidBytes(): number {
    return statSync(this.#consoleLog, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** All of them, the oldest first. */
  get heartbeats(): readonly Heartbeat[] {
    const lines = this.said.matchAll(/^HB seq=(\d+) corrupt=(\d+) errors=(\d+) boot=([0-9a-f]{16})\r?$/gm);
    return [...lines].map(([, seq, corrupt, errors, boot = '']) => {
      return { seq: Number(seq), corrupt: Number(corrupt), errors: Number(errors), boot };
    });
  }

  /** The first heartbeat with at least this number. */
  async reaches(seq: number): Promise<Heartbeat> {
    return this.#until(`its record ${seq}`, () => this.heartbeats.find((one) => one.seq >= seq));
  }

  /** Writes so many more records. */
  async goesOn(records = 50): Promise<Heartbeat> {
    return this.reaches((this.heartbeats.at(-1)?.seq ?? 0) + records);
  }

  /** Looks at every slot of its disks, and writes nothing any more. */
  async verify(): Promise<readonly DiskContent[]> {
    const before = this.said.length;
    await this.#type('PV');
    const pattern = /VERIFIED disk=\d wrong=(\d+) used=(\d+) seq=(\d+) digest=([0-9a-f]{16}) of=(\d)/g;
    return this.#until('to have verified its disks', () => {
      const found = [...this.said.slice(before).matchAll(pattern)];
      if (found.length === 0 || found.length < Number(found[0]?.[5])) return undefined;
      return found.map(([, wrong, used, seq, digest = '']) => {
        return { wrong: Number(wrong), used: Number(used), seq: Number(seq), digest };
      });
    });
  }

  /** Writes nothing any more; its heart goes on. */
  async rest(): Promise<void> {
    const before = this.said.length;
    await this.#type('P');
    await this.#until('to rest', () => this.said.slice(before).includes('PAUSED') || undefined);
  }

  work(): Promise<void> {
    return this.#type('R');
  }

  switchOff(): Promise<void> {
    return this.#type('Q');
  }

  /** It listens while it runs. */
  async #type(keys: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(this.#socket, () => socket.end(keys));
      socket.resume();
      socket.on('error', reject);
      socket.on('close', () => resolve());
    });
  }

  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += LOOK_MS) {
      const found = look();
      if (found !== undefined) return found;
      await systemClock.sleep(LOOK_MS);
    }
    throw new Error(`the guest was expected ${what}; it said last: ${this.said.slice(-500)}`);
  }
}

/** What a raw disk holds, seen from outside. */
export function scanDisk({ scan }: BuiltGuest, path: string, disk: number): DiskContent {
  const { stdout, stderr } = spawnSync(scan, [path, `${disk}`], { encoding: 'utf8' });
  const found = /wrong=(\d+) used=(\d+) seq=(\d+) digest=([0-9a-f]{16})/.exec(stdout);
  if (!found) throw new Error(`scan of ${path}: ${stdout}${stderr}`);
  const [, wrong, used, seq, digest = ''] = found;
  return { wrong: Number(wrong), used: Number(used), seq: Number(seq), digest };
}
