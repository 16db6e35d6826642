/** The ends of the table as they run: each is started when it is first needed, once for all, and stopped last. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { End } from './end.js';
import { type EndName, ends } from './ends.js';

export class RunningEnds {
  readonly scratch = mkdtempSync(join(tmpdir(), 'matrix-'));
  readonly #started = new Map<EndName, Promise<End>>();

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
