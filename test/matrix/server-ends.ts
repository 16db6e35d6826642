/** The ends that are servers: web servers, WebDAV, SFTP, S3 and another host's Blockferry, each a real one. */
import { createHash } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Apache, apacheAvailable, startApache } from '../support/apache.js';
import { type Ceph, cephAvailable, startCeph } from '../support/ceph.js';
import { nginxAvailable, startNginx } from '../support/nginx.js';
import { startPeerHost } from '../support/peer-host.js';
import { rcloneAvailable, startRcloneWebdav } from '../support/rclone-webdav.js';
import type { ServerProcess } from '../support/server-process.js';
import { sshdMissing, startSshd } from '../support/sshd.js';
import type { Address, End, EndKind, SourceEnd, TargetEnd } from './end.js';
import { filesIn } from './local-ends.js';

const HOST = '127.0.0.1';

/** A server that shows the files of a folder. */
function servedEnd(
  folder: string,
  server: Pick<ServerProcess, 'port' | 'kill' | 'start' | 'stop'>,
  location: (name: string, at: Address) => string,
): End & { readonly source: SourceEnd; readonly target: TargetEnd } {
  const { put, remove, sha256 } = filesIn(folder);
  const address = { host: HOST, port: server.port };
  const at = (name: string, where: Address = address): string => location(name, where);
  return {
    source: { put, location: at },
    target: { location: at, sha256 },
    remove,
    server: { address, kill: () => server.kill(), restart: () => server.start() },
    stop: () => server.stop(),
  };
}

export const nginx: EndKind = {
  name: 'nginx',
  whyNot: () => (nginxAvailable() ? '' : 'needs nginx'),
  start: async (folder) => {
    const { urls, kill, restart, stop } = await startNginx(folder);
    const port = Number(new URL(urls[0] as string).port);
    const { target: _, ...end } = servedEnd(folder, { port, kill, start: restart, stop }, httpLocation);
    return end;
  },
};

function httpLocation(name: string, { host, port }: Address): string {
  return `http://${host}:${port}/${name}`;
}

async function apacheServes(location: (name: string, at: Address) => string): Promise<ReturnType<typeof servedEnd>> {
  const apache: Apache = await startApache();
  const end = servedEnd(apache.folder, apache, location);
  const put: SourceEnd['put'] = async (name, file) => {
    await end.source.put(name, file);
    // It serves as somebody else.
    chmodSync(join(apache.folder, name), 0o666);
  };
  return { ...end, source: { ...end.source, put } };
}

const whyNoApache = (): string => (apacheAvailable() ? '' : 'needs Apache (Debian: apache2)');

export const webdav: EndKind = {
  name: 'WebDAV (Apache)',
  whyNot: whyNoApache,
  start: () => apacheServes((name, at) => `webdav${httpLocation(name, at).slice('http'.length)}`),
};

export const httpPut: EndKind = {
  name: 'PUTs of ranges (Apache)',
  whyNot: whyNoApache,
  start: () => apacheServes(httpLocation),
};

export const onePut: EndKind = {
  name: 'one PUT (rclone)',
  whyNot: () => (rcloneAvailable() ? '' : 'needs rclone'),
  start: async () => {
    const rclone = await startRcloneWebdav();
    const end = servedEnd(rclone.folder, rclone, (name, at) => `webdav${httpLocation(name, at).slice('http'.length)}`);
    return { ...end, target: { ...end.target, oneChunk: true } };
  },
};

export const sftp: EndKind = {
  name: 'SFTP (OpenSSH)',
  whyNot: sshdMissing,
  start: async (folder) => {
    let sshd = await startSshd();
    const { port, scratch, home } = sshd;
    // The same server is known at all addresses that a proxy gives it.
    const knownHosts = join(home, '.ssh', 'known_hosts');
    writeFileSync(`${knownHosts}2`, readFileSync(knownHosts, 'utf8').replace(/^\S+/, '*'));
    const kill = (): Promise<void> => sshd.stop(true);
    const start = async (): Promise<void> => {
      sshd = await startSshd({ port, scratch });
    };
    const stop = (): Promise<void> => sshd.stop();
    const location = (name: string, at: Address): string => `sftp://${at.host}:${at.port}${join(folder, name)}`;
    return { ...servedEnd(folder, { port, kill, start, stop }, location), env: { HOME: home } };
  },
};

export const s3: EndKind = {
  name: 'S3 (Ceph)',
  whyNot: () => (cephAvailable() ? '' : 'needs the Ceph Object Gateway (Debian: radosgw ceph-mon ceph-osd)'),
  start: async () => {
    const ceph = await startCeph();
    await ceph.makeBucket('matrix');
    const address = { host: HOST, port: Number(new URL(ceph.endpoint).port) };
    const location = (name: string, { host, port }: Address = address): string =>
      `s3://matrix/${name}?endpoint=${encodeURIComponent(`http://${host}:${port}`)}`;
    return {
      source: { put: async (name, file) => void (await askBucket(ceph, name, 'PUT', readFileSync(file))), location },
      target: {
        location,
        sha256: async (name) => {
          const bytes = await askBucket(ceph, name, 'GET');
          return bytes && createHash('sha256').update(bytes).digest('hex');
        },
      },
      remove: async (name) => void (await askBucket(ceph, name, 'DELETE')),
      env: ceph.env,
      server: { address, kill: ceph.killGateway, restart: ceph.startGateway },
      stop: ceph.stop,
    };
  },
};

async function askBucket(
  { client, endpoint }: Ceph,
  name: string,
  method: 'GET' | 'PUT' | 'DELETE',
  body?: Buffer<ArrayBuffer>,
): Promise<Buffer | undefined> {
  const answer = await client.fetch(`${endpoint}/matrix/${name}`, { method, ...(body && { body }) });
  if (answer.status === 404) return undefined;
  if (!answer.ok) throw new Error(`${method} ${name}: ${answer.status} ${await answer.text()}`);
  return Buffer.from(await answer.arrayBuffer());
}

export const peer: EndKind = {
  name: "another host's Blockferry",
  whyNot: () => '',
  start: async () => {
    const host = await startPeerHost();
    const { port, kill, start, stop, root, token } = host;
    const location = (name: string, at: Address): string =>
      host.at(name).replace(`//${HOST}:${port}/`, `//${at.host}:${at.port}/`);
    return { ...servedEnd(root, { port, kill, start, stop }, location), env: { BLOCKFERRY_PEER_TOKEN: token } };
  },
};
