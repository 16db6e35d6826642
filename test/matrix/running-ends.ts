/** The ends of the table as they run: each is started when it is first needed, once for all, and stopped last. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, type TestContext } from 'vitest';
import type { End } from './end.js';
import { type EndName, ends } from './ends.js';

export class RunningEnds {
  readonly scratch = mkdtempSync(join(tmpdir(), 'matrix-'));
  readonly #started = new Map<EndName, Promise<End>>();
  readonly #busy = new Map<EndName, Promise<void>>();

  constructor() {
    afterAll(async () => {
      const all = await Promise.allSettled(this.#started.values());
      for (const started of all) if (started.status === 'fulfilled') await started.value.stop();
      rmSync(this.scratch, { recursive: true, force: true });
    });
  }

  /** Why one of them cannot be had here; '': all can. */
  static whyNot(...names: readonly EndName[]): string {
    return names.map((name) => ends[name].whyNot()).find((reason) => reason !== '') ?? '';
  }

  /** Skips the test where one of them cannot be had here. */
  static need(context: TestContext, ...names: readonly EndName[]): void {
    const reason = RunningEnds.whyNot(...names);
    context.skip(reason !== '', reason);
  }

  /** Calls `work` while nobody else uses one of the ends: one that is killed would disturb them. */
  async alone<T>(names: readonly EndName[], work: () => Promise<T>): Promise<T> {
    const before = names.map((name) => this.#busy.get(name));
    let done = (): void => undefined;
    const busy = new Promise<void>((resolve) => {
      done = resolve;
    });
    for (const name of names) if (name !== 'path' && name !== 'device') this.#busy.set(name, busy);
    await Promise.all(before);
    return work().finally(done);
  }

  get(name: EndName): Promise<End> {
    const known = this.#started.get(name);
    if (known !== undefined) return known;
    const folder = join(this.scratch, name);
    mkdirSync(folder);
    const starting = ends[name].start(folder).then((end) => {
      // Copies run in processes of their own, and a status in this one.
      Object.assign(process.env, end.env);
      return end;
    });
    this.#started.set(name, starting);
    return starting;
  }
}
