/** A real WebDAV server that knows no ranges in a PUT: rclone replaces the whole file by the bytes of the range. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, type ServerProcess, startServer } from './server-process.js';

export interface RcloneWebdav extends ServerProcess {
  /** Such as `http://127.0.0.1:4711`; put `webdav` before it for WebDAV. */
  readonly url: string;
  /** What it serves, and what it may write to. */
  readonly folder: string;
}

export interface RcloneOptions {
  /** More arguments, such as `--user NAME --pass WORD`. */
  readonly args?: readonly string[];
}

export function rcloneAvailable(): boolean {
  return hasProgram('rclone', 'version');
}

export async function startRcloneWebdav({ args = [] }: RcloneOptions = {}): Promise<RcloneWebdav> {
  const server = await startServer('rclone', ({ scratch, port }) => {
    const [folder, log] = [folderOf(scratch), join(scratch, 'rclone.log')];
    mkdirSync(folder);
    const own = ['--config', join(scratch, 'none.conf'), '--cache-dir', join(scratch, 'cache'), '--log-file', log];
    // Else it shows what it remembers of the folder, and a test looks at the folder itself.
    const fresh = ['--dir-cache-time', '0s'];
    return {
      command: 'rclone',
      args: ['serve', 'webdav', folder, '--addr', `127.0.0.1:${port}`, ...own, ...fresh, ...args],
      log,
    };
  });
  return Object.assign(server, { url: `http://127.0.0.1:${server.port}`, folder: folderOf(server.scratch) });
}

function folderOf(scratch: string): string {
  return join(scratch, 'served');
}
