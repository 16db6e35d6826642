/** Copies over SFTP on this one thread, with a server and a client of the test's own. */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { KiB } from '../../src/core/units.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { SftpClient } from '../../src/endpoint/sftp/client.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { type InlineOptions, inlineTransfer } from './inline-copy.js';
import type { Sshd } from './sshd.js';

export interface SftpCopying {
  readonly scheme: EndpointScheme;
  /** An empty folder at the server. */
  readonly there: string;
  /** Answers the notes of a copy. */
  copied(options: InlineOptions): Promise<string[]>;
}

/** Until the test ends, the home is one that knows this server and has a key for it. */
export function copyingWith({ home, start }: Sshd): SftpCopying {
  vi.stubEnv('HOME', home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
  const client = new SftpClient();
  onTestFinished(async () => {
    await client.close();
    vi.unstubAllEnvs();
  });
  const scheme = sftpScheme(client);
  const copied = async (options: InlineOptions): Promise<string[]> => {
    const transfer = inlineTransfer({
      chunkBytes: 256 * KiB,
      workers: 1,
      registry: { sftp: () => scheme },
      ...options,
    });
    const notes: string[] = [];
    const listening = (async () => {
      for await (const event of transfer.events) if (event.type === 'note') notes.push(event.message);
    })();
    try {
      await transfer.run();
    } finally {
      await listening;
    }
    return notes;
  };
  return { scheme, there: mkdtempSync(join(start, 'test-')), copied };
}
