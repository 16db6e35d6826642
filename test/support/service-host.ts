/** A real `blockferry serve` that holds the jobs of a state folder, and can be killed and started again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ServiceClient } from '../../src/daemon/client.js';
import { serveProcess } from './serve-process.js';

export interface ServiceHost {
  readonly state: string;
  readonly socketPath: string;
  readonly pid: number;
  readonly client: ServiceClient;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
  /** After a kill; with the same jobs. */
  start(): Promise<void>;
  /** Ends it and removes what it had. */
  stop(): Promise<void>;
}

export async function startServiceHost(args: readonly string[] = []): Promise<ServiceHost> {
  const folder = mkdtempSync(join(tmpdir(), 'service-host-'));
  const state = join(folder, 'state');
  const socketPath = join(state, 'control.sock');
  const client = new ServiceClient({ socketPath });
  const served = serveProcess();
  const start = (): Promise<void> => served.start(['--state', state, ...args]);
  await start();
  return {
    ...{ state, socketPath, client, start },
    kill: () => served.kill(),
    get pid() {
      return served.pid;
    },
    stop: async () => {
      await client.close();
      await served.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
