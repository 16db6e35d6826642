/** The ends that are paths: a file, a block device, and a file on a share that is mounted. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mountShare, whyNoShare } from '../support/fuse-mount.js';
import { mountsAvailable } from '../support/mounts.js';
import { startSamba } from '../support/samba.js';
import { type End, type EndKind, type SourceEnd, sha256Of, type TargetEnd } from './end.js';

/** Files in a folder of this machine: those that paths name, or that a server shows. */
export function filesIn(folder: string): Pick<SourceEnd, 'put'> & Pick<TargetEnd, 'sha256'> & Pick<End, 'remove'> {
  return {
    remove: async (name) => rmSync(join(folder, name), { force: true }),
    put: async (name, file) => copyFileSync(file, join(folder, name)),
    sha256: async (name) => (existsSync(join(folder, name)) ? sha256Of(join(folder, name)) : undefined),
  };
}

export const localPath: EndKind = {
  name: 'a path',
  whyNot: () => '',
  start: async (folder) => {
    const end = { ...filesIn(folder), location: (name: string) => join(folder, name) };
    return { source: end, target: end, remove: end.remove, stop: async () => undefined };
  },
};

/** One device for each name, as large as what it gets. */
export const blockDevice: EndKind = {
  name: 'a block device',
  whyNot: () => (mountsAvailable() ? '' : 'needs loop devices in a private mount namespace'),
  start: async (folder) => {
    const devices = new Map<string, string>();
    const location = (name: string): string => devices.get(name) ?? join(folder, name);
    const attach = (name: string): void => {
      if (!devices.has(name)) devices.set(name, losetup('-f', '--show', join(folder, name)));
    };
    return {
      source: {
        grainBytes: 512,
        unversioned: true,
        location,
        put: async (name, file) => {
          if (devices.has(name)) execFileSync('dd', [`if=${file}`, `of=${location(name)}`, 'bs=1M', 'status=none']);
          else copyFileSync(file, join(folder, name));
          attach(name);
        },
      },
      target: {
        options: { overwrite: true },
        location,
        ready: async (name, size) => {
          writeFileSync(join(folder, name), '');
          truncateSync(join(folder, name), Math.ceil(size / 512) * 512);
          attach(name);
        },
        sha256: async (name, size) => sha256Of(location(name), size),
      },
      remove: async (name) => {
        if (devices.has(name)) losetup('-d', location(name));
        devices.delete(name);
        rmSync(join(folder, name), { force: true });
      },
      stop: async () => {
        for (const path of devices.values()) losetup('-d', path);
      },
    };
  },
};

function losetup(...args: readonly string[]): string {
  return execFileSync('losetup', args, { encoding: 'utf8' }).trim();
}

/** What the kernel's cifs and nfs do elsewhere: the server is killed, and the mount stays. */
export const mountedShare: EndKind = {
  name: 'a mounted share',
  whyNot: whyNoShare,
  start: async (folder) => {
    const samba = await startSamba(folder);
    const mount = await mountShare(samba);
    const end = { ...filesIn(folder), location: (name: string) => join(mount.folder, name) };
    return {
      source: end,
      target: { ...end, sha256: filesIn(mount.folder).sha256 },
      remove: end.remove,
      server: { address: { host: '127.0.0.1', port: samba.port }, kill: samba.kill, restart: samba.start },
      stop: async () => {
        await mount.stop();
        await samba.stop();
      },
    };
  },
};
