/**
 * QEMU as a process of its own: it leads its session, has no pipe to us, and goes on when we end. It is known by its
 * number together with when it started, and by its working folder, which is the folder of its machine: also one whose
 * start we did not live to write down is found by that.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Clock, nowMs } from '../../core/clock.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';
import type { VmRuntime } from '../vm-registry.js';

export const QEMU = 'qemu-system-x86_64';
const LOG = 'qemu.log';
const LOG_SHOWN = 1000;
const LOOK_MS = 10;
/** A process in a system call of a storage that hangs is not even ended by SIGKILL. */
const END_MS_MAX = 60_000;

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;

export type QemuProcess = NonNullable<VmRuntime['process']>;

/** Of the host's current start. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

/** @param descriptors that it has as its numbers 3, 4, …; they may be closed when this resolves */
export async function startProcess(
  args: readonly string[],
  folder: string,
  descriptors: readonly number[] = [],
): Promise<QemuProcess> {
  const log = openSync(join(folder, LOG), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0o600);
  try {
    const stdio = ['ignore' as const, log, log, ...descriptors];
    const child = spawn(QEMU, args, { cwd: folder, detached: true, stdio });
    child.unref();
    await once(child, 'spawn');
    const { pid } = child;
    const ticks = pid === undefined ? undefined : startTicks(pid);
    if (pid === undefined || ticks === undefined) throw endedAtOnce(folder);
    return { pid, startTicks: ticks };
  } catch (thrown) {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
    throw new TransferError('E_HYPERVISOR', `${QEMU} is not installed on this host`, {
      hint: 'Install it: on Debian, apt-get install qemu-system-x86. Nothing was started.',
      cause: thrown,
    });
  } finally {
    closeSync(log);
  }
}

/** What QEMU said before it ended. */
export function endedAtOnce(folder: string): TransferError {
  const path = join(folder, LOG);
  const said = readFileSync(path, 'utf8').trim().slice(-LOG_SHOWN);
  return new TransferError('E_HYPERVISOR', `QEMU ended: ${showPath(said) || 'it said nothing'}`, {
    hint: `All that it said is in ${path}. The images are kept.`,
  });
}

export function isAlive({ pid, startTicks: ticks }: QemuProcess): boolean {
  return startTicks(pid) === ticks;
}

/** A QEMU that works in that folder. */
export function findProcess(folder: string): QemuProcess | undefined {
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (readlinkSync(`/proc/${name}/cwd`) !== folder) continue;
      const [program = ''] = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
      const ticks = startTicks(Number(name));
      if (basename(program) === QEMU && ticks !== undefined) return { pid: Number(name), startTicks: ticks };
    } catch (thrown) {
      // It ended meanwhile, or is somebody else's.
      if (errnoOf(thrown) === undefined) throw thrown;
    }
  }
  return undefined;
}

/** Ends it without asking, and waits until it is gone. @throws TransferError E_TIMEOUT */
export async function killProcess(process_: QemuProcess, clock: Clock): Promise<void> {
  if (isAlive(process_)) {
    try {
      process.kill(process_.pid, 'SIGKILL');
    } catch (thrown) {
      if (errnoOf(thrown) !== 'ESRCH') throw thrown;
    }
  }
  if (await hasEnded(process_, clock, END_MS_MAX)) return;
  throw new TransferError('E_TIMEOUT', `process ${process_.pid} of QEMU does not end`, {
    hint: 'Its storage may hang. Nothing may start the machine again before that process is gone.',
  });
}

export async function hasEnded(process_: QemuProcess, clock: Clock, msMax: number): Promise<boolean> {
  const endMs = nowMs(clock) + msMax;
  while (isAlive(process_)) {
    if (nowMs(clock) > endMs) return false;
    await clock.sleep(LOOK_MS);
  }
  return true;
}

/**
 * Bytes of its guest's memory that the process really has: those of its mapping of that size, since what QEMU itself
 * has is not saved. Where there is none of that size, all that the process has.
 */
export function residentBytes({ pid }: QemuProcess, memoryBytes: number): number {
  const maps = readFileSync(`/proc/${pid}/smaps`, 'latin1').matchAll(/^Size:\s+(\d+) kB\n[\s\S]*?^Rss:\s+(\d+) kB/gm);
  const guests = [...maps].find(([, size]) => Number(size) * 1024 === memoryBytes);
  const all = /^VmRSS:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(guests?.[2] ?? all?.[1] ?? 0) * 1024;
}

/** When it started, in the kernel's own ticks; undefined: there is none, or only what its parent has yet to hear of. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name of the program, in parentheses, may hold anything.
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? undefined : fields[18];
  } catch (thrown) {
    if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ESRCH') return undefined;
    throw thrown;
  }
}
