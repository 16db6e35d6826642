/** Finds the QEMU of a machine, also one that an earlier process of ours started, and talks to it. */
import { join } from 'node:path';
import { type Clock, nowMs } from '../../core/clock.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { realPath } from '../../platform/folder.js';
import type { VmRegistry, VmRuntime } from '../vm-registry.js';
import { bootId, endedAtOnce, findProcess, hasEnded, isAlive, killProcess, type QemuProcess } from './process.js';
import { Qmp } from './qmp.js';
import { dropUnfinished } from './saved-state.js';
import { withShortPath } from './sockets.js';

const LISTENING_MS_MAX = 60_000;
const LOOK_MS = 10;
/** It flushes its images before it ends. */
const QUIT_MS_MAX = 30_000;

/** Its QEMU, and what is written down of it. */
export interface Running {
  readonly process: QemuProcess;
  readonly runtime: VmRuntime;
}

export class Machine {
  readonly id: string;
  readonly #registry: VmRegistry;
  readonly #clock: Clock;

  constructor(id: string, registry: VmRegistry, clock: Clock) {
    this.id = id;
    this.#registry = registry;
    this.#clock = clock;
  }

  /** Without links, since its process is found by it. */
  get folder(): string {
    return realPath(this.#registry.folderOf(this.id));
  }

  get runtime(): VmRuntime | undefined {
    return this.#registry.runtime(this.id);
  }

  /** Undefined: there is none. */
  find(): Running | undefined {
    const { runtime } = this;
    if (!runtime || runtime.bootId !== bootId()) return undefined;
    const process_ = runtime.process ?? findProcess(this.folder);
    return process_ && isAlive(process_) ? { process: process_, runtime } : undefined;
  }

  /** Changes what is written down of its process. */
  note(change: Partial<VmRuntime>): void {
    const { runtime } = this;
    if (runtime) this.#registry.setRuntime(this.id, { ...runtime, ...change });
  }

  forget(...names: ('pausedBy' | 'saved' | 'savingTo')[]): void {
    const { runtime } = this;
    if (!runtime || !names.some((name) => name in runtime)) return;
    const kept = Object.entries(runtime).filter(([name]) => !(names as string[]).includes(name));
    this.#registry.setRuntime(this.id, Object.fromEntries(kept) as unknown as VmRuntime);
  }

  /** One at a time talks to one of its sockets; the next waits. @throws TransferError E_HYPERVISOR, E_TIMEOUT */
  async ask<T>(socket: string, work: (qmp: Qmp) => Promise<T>): Promise<T> {
    const qmp = await withShortPath(this.folder, (short) => Qmp.open(join(short, socket), this.#clock));
    try {
      return await work(qmp);
    } finally {
      qmp.close();
    }
  }

  /** The same of a process that has just been started. */
  async askNew<T>(process_: QemuProcess, socket: string, work: (qmp: Qmp) => Promise<T>): Promise<T> {
    const endMs = nowMs(this.#clock) + LISTENING_MS_MAX;
    for (;;) {
      try {
        return await this.ask(socket, work);
      } catch (thrown) {
        if (!isAlive(process_)) throw endedAtOnce(this.folder);
        const errno = thrown instanceof TransferError ? errnoOf(thrown.cause) : undefined;
        const early = errno === 'ENOENT' || errno === 'ECONNREFUSED';
        if (!early || nowMs(this.#clock) > endMs) throw thrown;
        await this.#clock.sleep(LOOK_MS);
      }
    }
  }

  /** Ends its process, one way or the other; there may be none. What is written down of it goes. */
  async end(socket: string): Promise<void> {
    const running = this.find();
    if (running) {
      if (running.runtime.phase === 'up') await this.#quit(running.process, socket);
      await killProcess(running.process, this.#clock);
    }
    const { runtime } = this;
    if (!runtime) return;
    // Nobody would know of it any more, and it holds what the guest had in its memory.
    if (runtime.savingTo !== undefined) await dropUnfinished(runtime.savingTo);
    this.#registry.setRuntime(this.id, undefined);
  }

  async #quit(process_: QemuProcess, socket: string): Promise<void> {
    try {
      await this.ask(socket, (qmp) => qmp.execute('quit', {}, QUIT_MS_MAX));
    } catch (thrown) {
      // It may end before it answers; and one that does not answer is killed.
      if (!(thrown instanceof TransferError)) throw thrown;
    }
    await hasEnded(process_, this.#clock, QUIT_MS_MAX);
  }
}
