/** A real Apache with mod_dav: it knows PROPFIND, MOVE and locks, and a PUT with Content-Range patches the file. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hasProgram, type ServerPlace, type ServerProcess, startServer } from './server-process.js';

export interface Apache extends ServerProcess {
  /** Such as `http://127.0.0.1:4711`; put `webdav` before it for WebDAV. */
  readonly url: string;
  /** What it serves, and what it may write to. */
  readonly folder: string;
}

export interface ApacheOptions {
  /** It asks for these by basic authentication. */
  readonly user?: { readonly name: string; readonly password: string };
  /** Certificate and key, PEM files: an https server. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** More directives, such as `Redirect /old /new`. */
  readonly directives?: string;
}

const MODULES = '/usr/lib/apache2/modules';

export function apacheAvailable(): boolean {
  return existsSync(`${MODULES}/mod_dav_fs.so`) && hasProgram('apache2', '-v');
}

export async function startApache(options: ApacheOptions = {}): Promise<Apache> {
  const server = await startServer('apache', (place) => {
    const folder = folderOf(place.scratch);
    for (const path of [folder, join(place.scratch, 'locks')]) {
      mkdirSync(path);
      // As root it serves as somebody else, who has to be let in.
      chmodSync(path, 0o777);
    }
    const [config, log] = [join(place.scratch, 'apache.conf'), join(place.scratch, 'error.log')];
    writeFileSync(config, apacheConfig(place, options));
    const { user } = options;
    if (user) hasProgram('htpasswd', '-bc', join(place.scratch, 'users'), user.name, user.password);
    return { command: 'apache2', args: ['-f', config, '-D', 'FOREGROUND'], log };
  });
  const url = `${options.tls ? 'https' : 'http'}://127.0.0.1:${server.port}`;
  return Object.assign(server, { url, folder: folderOf(server.scratch) });
}

function folderOf(scratch: string): string {
  return join(scratch, 'served');
}

function apacheConfig({ scratch, port }: ServerPlace, { user, tls, directives }: ApacheOptions): string {
  const modules = ['mpm_event', 'authz_core', 'alias', 'dav', 'dav_fs'];
  if (user) modules.push('authn_core', 'authn_file', 'auth_basic', 'authz_user');
  if (tls) modules.push('ssl');
  const root = process.getuid?.() === 0;
  return `
${modules.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join('\n')}
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
${root ? 'User www-data\nGroup www-data' : ''}
PidFile "${scratch}/apache.pid"
DefaultRuntimeDir "${scratch}"
ErrorLog "${scratch}/error.log"
DocumentRoot "${folderOf(scratch)}"
DavLockDB "${scratch}/locks/dav"
LimitRequestBody 0
KeepAliveTimeout 60
MaxKeepAliveRequests 0
ServerLimit 2
StartServers 1
ThreadsPerChild 25
MaxRequestWorkers 50
${tls ? `SSLEngine on\nSSLCertificateFile "${tls.cert}"\nSSLCertificateKeyFile "${tls.key}"` : ''}
<Directory "${folderOf(scratch)}">
  Dav on
  ${user ? `AuthType Basic\n  AuthName files\n  AuthUserFile "${scratch}/users"` : ''}
  Require ${user ? 'valid-user' : 'all granted'}
</Directory>
${directives ?? ''}
`;
}
