/** Copies to a WebDAV server in memory, with the whole engine on this thread. */
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { httpTargets } from '../../src/endpoint/http-put.js';
import { forgetAbilities } from '../../src/endpoint/upload/probe.js';
import { webdavScheme } from '../../src/endpoint/webdav.js';
import { bytesOf, CHUNK, makeFile, scratchFolder } from './copying.js';
import { type DavScript, type DavServer, serveDav } from './dav-server.js';
import { inlineTransfer } from './inline-copy.js';

export const SIZE = 5 * CHUNK + 77;
export const bytes = bytesOf(SIZE, 'source');

export interface CopyOptions {
  readonly overwrite?: boolean;
  readonly target?: string;
  /** 0: as the copy chooses. */
  readonly chunkBytes?: number;
  readonly algorithm?: 'sha256';
}

export interface Rig {
  readonly dav: DavServer;
  /** Resolves when something is on record. */
  readonly recorded: Promise<void>;
  copy(options?: CopyOptions): Promise<string[]>;
}

export async function rig(script?: DavScript): Promise<Rig> {
  vi.stubEnv('BLOCKFERRY_STATE', join(scratchFolder(), 'state'));
  const dav = await serveDav(script);
  forgetAbilities();
  onTestFinished(async () => {
    vi.unstubAllEnvs();
    await dav.stop();
  });
  let onRecord = (): void => undefined;
  const recorded = new Promise<void>((resolve) => {
    onRecord = resolve;
  });
  const source = makeFile(join(scratchFolder(), 'disk.img'), SIZE) as string;
  const registry = { webdav: () => webdavScheme(), http: () => httpTargets() };
  return {
    dav,
    recorded,
    copy: async ({ target = `${dav.url}/disk.img`, chunkBytes = CHUNK, ...others } = {}) => {
      const options = { ...others, ...(chunkBytes > 0 && { chunkBytes }) };
      const transfer = inlineTransfer({ source, target, registry, clock: systemClock, ...options });
      const notes: string[] = [];
      const watched = (async () => {
        for await (const event of transfer.events) {
          if (event.type === 'note') notes.push(event.message);
          if (event.type === 'checkpoint') onRecord();
        }
      })();
      await transfer.run();
      await watched;
      return notes;
    },
  };
}

export const isPart = (path: string): boolean => path.endsWith('.blockferry-part');
export const isProbe = (path: string): boolean => path.endsWith('.blockferry-probe');
