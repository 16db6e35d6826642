/** Runs migrations in a process that may kill itself, against hosts that stay here. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { TransferError } from '../../src/core/errors.js';
import type { MigrationRequest, MigrationView } from '../../src/migrate/migration-service.js';
import type { Step } from '../../src/migrate/steps.js';
import type { FakeHost, FakeWorld } from './fake-hosts.js';
import { repointOverlay } from './fake-images.js';

const CHILD = fileURLToPath(new URL('./migration-child.mjs', import.meta.url));

/** When the child kills itself. */
export interface Kill {
  /** Two for each step, counted from 2: its beginning and its end. */
  readonly place?: number;
  readonly moment?: number;
  readonly afterMs?: number;
}

interface Call {
  readonly id: number;
  readonly end: string;
  readonly name: keyof FakeHost | 'repoint';
  readonly args: readonly unknown[];
}

/** What the migration came to; undefined when it was killed first. */
export async function carryOut(
  world: FakeWorld,
  about: { readonly state: string; readonly request: MigrationRequest; readonly kill?: Kill; readonly abortAt?: Step },
): Promise<MigrationView | undefined> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify(about)], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let [said, wrong] = ['', ''];
  child.stdout?.on('data', (bytes) => {
    said += bytes;
  });
  child.stderr?.on('data', (bytes) => {
    wrong += bytes;
  });
  child.on('message', (call: Call) => {
    void answer(world, call).then((reply) => {
      // It may be dead by now.
      if (child.connected) child.send(reply, () => undefined);
    });
  });
  const [code, signal] = await once(child, 'close');
  if (signal === 'SIGKILL') return undefined;
  expect(code, wrong).toBe(0);
  return (JSON.parse(said) as { view: MigrationView }).view;
}

async function answer(world: FakeWorld, { id, end, name, args }: Call): Promise<object> {
  try {
    if (name === 'repoint') {
      repointOverlay(String(args[0]), String(args[1]));
      return { id };
    }
    const host = world.host(end) as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    const all = name === 'merge' ? [...args, () => undefined] : args;
    return { id, value: await host[name]?.(...all) };
  } catch (thrown) {
    return { id, error: TransferError.from(thrown).toJSON() };
  }
}
