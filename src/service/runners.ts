/**
 * Threads of the service: one set for each pair of storages, shared by the jobs between them, and ended when none has
 * used it for a while. A storage that hangs keeps its own threads, and no others. Jobs in the background have threads
 * of their own: these go last at the processor, and without privileges nobody can change that again.
 */
import { type Clock, nowMs } from '../core/clock.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';

const IDLE_MS_MAX = 20_000;

interface Shared {
  readonly runner: Promise<ChunkRunner>;
  users: number;
  idleSinceMs: number;
}

export interface Borrowed {
  readonly runner: ChunkRunner;
  giveBack(): void;
}

export class Runners {
  readonly #newRunner: () => Promise<ChunkRunner>;
  readonly #clock: Clock;
  readonly #shared = new Map<string, Shared>();

  constructor(newRunner: () => Promise<ChunkRunner>, clock: Clock) {
    this.#newRunner = newRunner;
    this.#clock = clock;
  }

  async borrow(sourcePath: string, targetPath: string, background = false): Promise<Borrowed> {
    const key = `${sourcePath}\n${targetPath}\n${background}`;
    const shared = this.#shared.get(key) ?? { runner: this.#newRunner(), users: 0, idleSinceMs: 0 };
    this.#shared.set(key, shared);
    shared.users++;
    try {
      const runner = await shared.runner;
      return { runner, giveBack: () => this.#giveBack(shared) };
    } catch (thrown) {
      this.#shared.delete(key);
      throw thrown;
    }
  }

  #giveBack(shared: Shared): void {
    shared.users--;
    shared.idleSinceMs = nowMs(this.#clock);
  }

  /** Ends those that nobody has used for a while; to be called now and then. */
  sweep(): void {
    const now = nowMs(this.#clock);
    for (const [key, { users, idleSinceMs, runner }] of this.#shared) {
      if (users > 0 || now - idleSinceMs < IDLE_MS_MAX) continue;
      this.#shared.delete(key);
      void runner.then((idle) => idle.close());
    }
  }

  /** Whether all threads have ended; one that is stuck in a system call is left behind. */
  async close(): Promise<boolean> {
    const all = [...this.#shared.values()];
    this.#shared.clear();
    const ended = await Promise.all(all.map(async ({ runner }) => (await runner).close()));
    return ended.every(Boolean);
  }
}
