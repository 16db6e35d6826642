/** A real nginx for tests and the bench: its own configuration, a scratch folder and free ports of 127.0.0.1. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from './free-ports.js';
import { isRunning, killGroup, portAnswers } from './servers.js';

/** One server of the nginx; all serve the same folder. */
export interface NginxServer {
  /** Bytes per second of each connection. */
  readonly limitRate?: number;
  /** `false`: a server without byte ranges. */
  readonly ranges?: boolean;
  /** `false`: no ETag, so that Last-Modified is all there is. */
  readonly etag?: boolean;
  /** Certificate and key, PEM files: an https server. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Instead of a free one. */
  readonly port?: number;
  /** More directives, such as `location /old { return 302 /new; }`, or `limit_conn each 2;`. */
  readonly directives?: string;
}

export interface Nginx {
  /** Such as `http://127.0.0.1:4711`, one for each server that was asked for. */
  readonly urls: readonly string[];
  readonly pid: number;
  /** kill -9 of all its processes. */
  kill(): Promise<void>;
  /** Serves the same folder at the same ports again. */
  restart(): Promise<void>;
  /** Stops it and removes its scratch folder; harmless when called twice. */
  stop(): Promise<void>;
}

export function nginxAvailable(): boolean {
  return spawnSync('nginx', ['-v'], { env: nginxEnv() }).status === 0;
}

/** Starts an nginx that serves `folder`; without `servers` it has one, with nginx's own defaults. */
export async function startNginx(folder: string, ...servers: readonly NginxServer[]): Promise<Nginx> {
  const scratch = await mkdtemp(join(tmpdir(), 'nginx-'));
  const wanted = servers.length === 0 ? [{}] : servers;
  const free = await freePorts(wanted.length);
  const ports = wanted.map(({ port }, at) => port ?? (free[at] as number));
  const config = join(scratch, 'nginx.conf');
  await writeFile(config, nginxConfig(scratch, folder, wanted, ports));
  const log = join(scratch, 'error.log');
  let child: ChildProcess | undefined;
  const start = async (): Promise<void> => {
    const args = ['-p', scratch, '-c', config, '-e', log];
    child = spawn('nginx', args, { env: nginxEnv(), stdio: 'ignore', detached: true });
    await once(child, 'spawn');
    for (const port of ports) await portAnswers(port, child, () => readFileSync(log, 'utf8'));
  };
  const onExit = (): void => void child?.kill('SIGTERM');
  process.once('exit', onExit);
  const stop = async (): Promise<void> => {
    process.off('exit', onExit);
    if (child && isRunning(child)) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  const urls = ports.map((port, index) => `${wanted[index]?.tls ? 'https' : 'http'}://127.0.0.1:${port}`);
  return { urls, pid: child?.pid ?? 0, kill: () => killGroup(child), restart: start, stop };
}

/** Debian keeps nginx in /usr/sbin, which is not in everybody's PATH. */
function nginxEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/usr/local/sbin` };
}

function nginxConfig(
  scratch: string,
  folder: string,
  servers: readonly NginxServer[],
  ports: readonly number[],
): string {
  const temps = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `daemon off;
worker_processes 2;
pid "${scratch}/nginx.pid";
${process.getuid?.() === 0 ? 'user root;' : ''}
events { worker_connections 256; }
http {
  access_log off;
  sendfile on;
  default_type application/octet-stream;
  limit_conn_zone $binary_remote_addr$server_port zone=each:1m;
  ${temps.map((name) => `${name}_temp_path "${scratch}/${name}";`).join('\n  ')}
  ${servers.map((server, index) => serverConfig(folder, server, ports[index] as number)).join('\n  ')}
}
`;
}

function serverConfig(folder: string, server: NginxServer, port: number): string {
  const { tls, limitRate, ranges, etag, directives } = server;
  return [
    `server { listen 127.0.0.1:${port}${tls ? ' ssl' : ''}; root "${folder}";`,
    tls ? `ssl_certificate "${tls.cert}"; ssl_certificate_key "${tls.key}";` : '',
    limitRate === undefined ? '' : `limit_rate ${limitRate};`,
    ranges === false ? 'max_ranges 0;' : '',
    etag === false ? 'etag off;' : '',
    directives ?? '',
    '}',
  ].join(' ');
}
