/** A real nginx for tests and the bench: its own configuration, a scratch folder and free ports of 127.0.0.1. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

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
  const child = spawn('nginx', ['-p', scratch, '-c', config, '-e', join(scratch, 'error.log')], {
    env: nginxEnv(),
    stdio: 'ignore',
  });
  const kill = (): void => void child.kill('SIGTERM');
  process.once('exit', kill);
  const stop = async (): Promise<void> => {
    process.off('exit', kill);
    if (isRunning(child)) {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
    }
    await rm(scratch, { recursive: true, force: true });
  };
  try {
    await once(child, 'spawn');
    for (const port of ports) await listening(port, child, join(scratch, 'error.log'));
  } catch (error) {
    await stop();
    throw error;
  }
  const urls = ports.map((port, index) => `${wanted[index]?.tls ? 'https' : 'http'}://127.0.0.1:${port}`);
  return { urls, pid: child.pid as number, stop };
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

/** Ports that were free together a moment ago. */
async function freePorts(count: number): Promise<number[]> {
  const probes = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(probes.map((probe) => once(probe, 'listening')));
  const ports = probes.map((probe) => (probe.address() as { port: number }).port);
  await Promise.all(probes.map((probe) => once(probe.close(), 'close')));
  return ports;
}

/** Polls until the port accepts a connection; an nginx that ended says why. */
async function listening(port: number, child: ChildProcess, log: string): Promise<void> {
  while (isRunning(child)) {
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await sleep(10);
  }
  throw new Error(`nginx ended (${child.exitCode ?? child.signalCode}): ${await readFile(log, 'utf8').catch(String)}`);
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
