/**
 * A disk with one unreadable sector: an image served through FUSE by qemu-storage-daemon, whose blkdebug answers EIO
 * there, and an ext4 on it. Once the disk is healed the same files are there, on the same inodes.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { mountsAvailable } from './mounts.js';

export const badDiskPossible = (): boolean =>
  mountsAvailable('ext4') && existsSync('/dev/fuse') && existsSync('/usr/bin/qemu-storage-daemon');

export interface BadDisk {
  /** Where its file system is mounted. */
  readonly folder: string;
  /** From now on, the 4 KiB at that byte of the file cannot be read. */
  spoil(file: string, offset: number): Promise<void>;
  heal(): Promise<void>;
  close(): Promise<void>;
}

/** Makes a healthy one, with everything in the scratch folder. */
export async function makeDisk(scratch: string, sizeMiB: number): Promise<BadDisk> {
  const [image, exported, folder] = ['image', 'export', 'mnt'].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
  execFileSync('truncate', ['-s', `${sizeMiB}M`, image]);
  execFileSync('mkfs.ext4', ['-q', '-F', '-b', '4096', image]);
  writeFileSync(exported, '');
  await mkdir(folder);
  const mount = (file: string): void => void execFileSync('mount', ['-o', 'loop', file, folder]);
  const unmount = (): void => void execFileSync('umount', [folder]);
  let stop = async (): Promise<void> => undefined;
  mount(image);
  return {
    folder,
    spoil: async (file, offset) => {
      const sector = (physicalBlock(file, offset) * 4096) / 512;
      unmount();
      stop = await serve(image, exported, sector, scratch);
      mount(exported);
    },
    heal: async () => {
      unmount();
      await stop();
      mount(image);
    },
    close: async () => {
      unmount();
      await stop();
    },
  };
}

/** Where the 4 KiB block of a file lies on the disk, as filefrag says (FIEMAP). */
function physicalBlock(file: string, offset: number): number {
  execFileSync('sync', ['-f', file]);
  const block = Math.floor(offset / 4096);
  for (const line of execFileSync('filefrag', ['-v', '-b4096', file], { encoding: 'utf8' }).split('\n')) {
    const [from, to, start] = (/^\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\./.exec(line) ?? []).slice(1).map(Number);
    if (from === undefined || to === undefined || start === undefined) continue;
    if (block >= from && block <= to) return start + block - from;
  }
  throw new Error(`${file} has no block at byte ${offset}`);
}

async function serve(image: string, exported: string, sector: number, scratch: string): Promise<() => Promise<void>> {
  const rules = join(scratch, 'rules');
  const rule = [
    '[inject-error]',
    'event = "none"',
    'iotype = "read"',
    'errno = "5"',
    `sector = "${sector}"`,
    'once = "off"',
  ];
  writeFileSync(rules, `${rule.join('\n')}\n`);
  const daemon = spawn('qemu-storage-daemon', [
    '--blockdev',
    `driver=file,node-name=file,filename=${image}`,
    '--blockdev',
    `driver=blkdebug,node-name=bad,image=file,config=${rules}`,
    '--export',
    `type=fuse,id=export,node-name=bad,mountpoint=${exported},writable=on`,
    '--pidfile',
    join(scratch, 'pid'),
  ]);
  const ended = once(daemon, 'close');
  // The pid file comes last, when the export is up.
  while (!existsSync(join(scratch, 'pid')) || statSync(exported).size === 0) {
    if (daemon.exitCode !== null) throw new Error('qemu-storage-daemon did not start');
    await new Promise((resolve) => void setTimeout(resolve, 10));
  }
  return async () => {
    daemon.kill('SIGTERM');
    await ended;
  };
}
