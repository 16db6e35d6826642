/**
 * Real file systems for tests: loop-mounted images and tmpfs. Mounts happen only inside a private mount namespace, so
 * that they end with the tests, and what a machine allows is probed, never guessed from the uid.
 */
import { execFile, execFileSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { mkdtemp, open, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onTestFinished, type TestContext } from 'vitest';

export type LoopKind = 'ext4' | 'xfs' | 'btrfs';

export interface Mount {
  readonly folder: string;
  /** Changes mount options, such as `ro`. */
  remount(options: string): Promise<void>;
  /** Gives everything back; harmless when called twice. */
  unmount(): Promise<void>;
}

export interface LoopDevice {
  /** Such as `/dev/loop3`. */
  readonly path: string;
  detach(): Promise<void>;
}

const run = promisify(execFile);

/** The smallest images that the mkfs programs accept. */
const SIZE_MIB_MIN: Readonly<Record<LoopKind, number>> = { ext4: 8, xfs: 300, btrfs: 114 };

/** `mkfs` options that ask no questions; ext4 without a reserve, so that full means full. */
const MKFS_OPTIONS: Readonly<Record<LoopKind, readonly string[]>> = {
  ext4: ['-q', '-F', '-m', '0'],
  xfs: ['-q', '-f'],
  btrfs: ['-q', '-f'],
};

/** Whether this machine lets us make a private mount namespace with loop devices; asked of the machine itself. */
export function canMount(): boolean {
  return succeeds('unshare', ['-m', '--propagation', 'private', 'true']) && succeeds('losetup', ['-f']);
}

/**
 * Whether tests may mount now: this process is in a mount namespace of its own. The test command re-executes itself in
 * one and says so by BLOCKFERRY_TEST_MOUNTS=1; a namespace other than that of pid 1 counts as well. With a kind: its
 * mkfs is there too.
 */
export function mountsAvailable(kind?: LoopKind): boolean {
  return inPrivateNamespace() && canMount() && (kind === undefined || succeeds(`mkfs.${kind}`, ['-V']));
}

function inPrivateNamespace(): boolean {
  if (process.env.BLOCKFERRY_TEST_MOUNTS !== undefined) return process.env.BLOCKFERRY_TEST_MOUNTS === '1';
  try {
    return readlinkSync('/proc/self/ns/mnt') !== readlinkSync('/proc/1/ns/mnt');
  } catch {
    // Without /proc, or without the right to look at pid 1, there is no telling; then nothing is mounted.
    return false;
  }
}

const answers = new Map<string, boolean>();

function succeeds(command: string, args: readonly string[]): boolean {
  const key = [command, ...args].join(' ');
  const known = answers.get(key);
  if (known !== undefined) return known;
  let answer = true;
  try {
    execFileSync(command, args, { stdio: 'ignore' });
  } catch {
    // Absent and refused are one answer here: it cannot be done on this machine.
    answer = false;
  }
  answers.set(key, answer);
  return answer;
}

/**
 * A fresh file system in a sparse image of at least `sizeMiB`. The image has no name any more: it ends with its mount.
 */
export async function mountLoop(kind: LoopKind, sizeMiB: number, options: readonly string[] = []): Promise<Mount> {
  return withImage(Math.max(sizeMiB, SIZE_MIB_MIN[kind]), async (image) => {
    await run(`mkfs.${kind}`, [...MKFS_OPTIONS[kind], ...options, image]);
    return mountOn(['-t', kind, '-o', 'loop', image]);
  });
}

export async function mountTmpfs(sizeMiB: number): Promise<Mount> {
  return mountOn(['-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs']);
}

/** Where a test of the file layer runs: the default file system always, the others where they can be mounted. */
export const PLACES = ['the default file system', 'tmpfs', 'ext4', 'xfs', 'btrfs'] as const;
export type Place = (typeof PLACES)[number];

export function placeAvailable(place: Place): boolean {
  if (place === 'the default file system') return true;
  return place === 'tmpfs' ? mountsAvailable() : mountsAvailable(place);
}

/** A folder of its own on such a file system until the test ends; skips the test where it cannot be had. */
export async function placeFor(context: TestContext, place: Place): Promise<Mount> {
  context.skip(!placeAvailable(place), `needs ${place} in a private mount namespace`);
  const mount = await openPlace(place);
  onTestFinished(() => mount.unmount());
  return mount;
}

/** A folder of its own on such a file system, with room for some 64 MiB. */
export async function openPlace(place: Place): Promise<Mount> {
  if (place === 'tmpfs') return mountTmpfs(64);
  if (place !== 'the default file system') return mountLoop(place, 96);
  const folder = await mkdtemp(join(tmpdir(), 'blockferry-place-'));
  const refuse = async (): Promise<void> => {
    throw new Error("the default file system is nobody's to remount");
  };
  return { folder, remount: refuse, unmount: () => rm(folder, { recursive: true, force: true }) };
}

/** Such a file system until the test ends; skips the test where it cannot be had. */
export async function mounted(context: TestContext, kind: LoopKind | 'tmpfs', sizeMiB: number): Promise<Mount> {
  context.skip(!placeAvailable(kind), `needs ${kind} in a private mount namespace`);
  const mount = kind === 'tmpfs' ? await mountTmpfs(sizeMiB) : await mountLoop(kind, sizeMiB);
  onTestFinished(() => mount.unmount());
  return mount;
}

/** A block device of `sizeMiB` over a sparse image. */
export async function attachLoop(sizeMiB: number): Promise<LoopDevice> {
  return withImage(sizeMiB, async (image) => {
    const { stdout } = await run('losetup', ['-f', '--show', image]);
    const path = stdout.trim();
    return { path, detach: async () => void (await run('losetup', ['-d', path])) };
  });
}

/** The loop driver keeps the image open, so that the name can go at once and nothing is left after a killed test. */
async function withImage<T>(sizeMiB: number, use: (image: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'blockferry-image-'));
  try {
    const image = join(folder, 'image');
    const file = await open(image, 'w');
    await file.truncate(sizeMiB * 1024 * 1024);
    await file.close();
    return await use(image);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function mountOn(what: readonly string[]): Promise<Mount> {
  if (!inPrivateNamespace())
    throw new Error('tests mount in a private mount namespace only: see test/support/mounts.ts');
  const folder = await mkdtemp(join(tmpdir(), 'blockferry-mount-'));
  await run('mount', [...what, folder]);
  let mounted = true;
  return {
    folder,
    remount: async (options) => void (await run('mount', ['-o', `remount,${options}`, folder])),
    unmount: async () => {
      if (!mounted) return;
      mounted = false;
      await run('umount', [folder]);
      await rmdir(folder);
    },
  };
}
