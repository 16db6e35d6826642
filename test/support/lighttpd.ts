/** A real lighttpd with mod_webdav; whether a PUT with Content-Range patches the file is its option. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, type ServerPlace, type ServerProcess, startServer } from './server-process.js';

export interface Lighttpd extends ServerProcess {
  /** Such as `http://127.0.0.1:4711`; put `webdav` before it for WebDAV. */
  readonly url: string;
  /** What it serves, and what it may write to. */
  readonly folder: string;
}

export interface LighttpdOptions {
  /** `false`: a PUT with Content-Range is refused, as it is unless configured otherwise. */
  readonly partialPut?: boolean;
}

export function lighttpdAvailable(): boolean {
  return existsSync('/usr/lib/lighttpd/mod_webdav.so') && hasProgram('lighttpd', '-v');
}

export async function startLighttpd(options: LighttpdOptions = {}): Promise<Lighttpd> {
  const server = await startServer('lighttpd', (place) => {
    mkdirSync(folderOf(place.scratch));
    mkdirSync(join(place.scratch, 'uploads'));
    const config = join(place.scratch, 'lighttpd.conf');
    writeFileSync(config, lighttpdConfig(place, options));
    return { command: 'lighttpd', args: ['-D', '-f', config], log: join(place.scratch, 'error.log') };
  });
  return Object.assign(server, { url: `http://127.0.0.1:${server.port}`, folder: folderOf(server.scratch) });
}

function folderOf(scratch: string): string {
  return join(scratch, 'served');
}

function lighttpdConfig({ scratch, port }: ServerPlace, { partialPut = true }: LighttpdOptions): string {
  return `
server.modules = ( "mod_webdav" )
server.bind = "127.0.0.1"
server.port = ${port}
server.document-root = "${folderOf(scratch)}"
server.errorlog = "${scratch}/error.log"
server.upload-dirs = ( "${scratch}/uploads" )
server.max-keep-alive-requests = 100000
server.max-keep-alive-idle = 60
# Without a type it sends neither ETag nor Last-Modified.
mimetype.assign = ( "" => "application/octet-stream" )
webdav.activate = "enable"
webdav.sqlite-db-name = "${scratch}/webdav.db"
${partialPut ? 'webdav.opts = ( "deprecated-unsafe-partial-put" => "enable" )' : ''}
`;
}
