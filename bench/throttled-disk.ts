/**
 * A disk with a known, low ceiling: an image in memory behind a loop device, with a file system, and a group of
 * processes whose requests to it the kernel throttles (cgroup v1, blkio). So nothing else uses the disk, and what is
 * measured is what those in the group do to each other.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmdirSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { MiB } from '../src/core/units.js';
import { dropCache } from '../src/platform/direct-io.js';
import { isPresent } from './measure.js';

export const CEILING = 60 * MiB;
const READS_PER_SECOND = 3000;
const BLKIO = '/sys/fs/cgroup/blkio';
const SECTOR_BYTES = 512;

export interface DiskCounters {
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export class ThrottledDisk {
  /** Where its file system is mounted. */
  readonly folder: string;
  readonly #memory: string;
  readonly #group: string;
  #loop = '';

  private constructor(folder: string) {
    this.#memory = join(folder, 'memory');
    this.folder = join(folder, 'disk');
    this.#group = join(BLKIO, `blockferry-bench-${process.pid}`);
  }

  /** A sentence why it cannot be had here. */
  static open(folder: string, bytes: number): ThrottledDisk | string {
    if (process.getuid?.() !== 0) return 'a throttled disk is made by root';
    if (!existsSync(join(BLKIO, 'blkio.throttle.read_bps_device')))
      return `no blkio controller of cgroup v1 at ${BLKIO}`;
    for (const tool of ['losetup', 'mkfs.ext4', 'fio']) if (!isPresent({ tool })) return `${tool} is not installed`;
    const disk = new ThrottledDisk(folder);
    try {
      disk.#make(bytes);
      return disk;
    } catch (thrown) {
      disk.close();
      return `the throttled disk cannot be made: ${thrown instanceof Error ? thrown.message.split('\n')[0] : thrown}`;
    }
  }

  #make(bytes: number): void {
    for (const path of [this.#memory, this.folder, this.#group]) mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes + 16 * MiB}`, 'tmpfs', this.#memory]);
    const image = join(this.#memory, 'image');
    closeSync(openSync(image, 'w'));
    truncateSync(image, bytes);
    this.#loop = execFileSync('losetup', ['--find', '--show', image], { encoding: 'utf8' }).trim();
    const queue = join('/sys/block', basename(this.#loop));
    // What a scheduler would put right or wrong is another question.
    writeFileSync(join(queue, 'queue/scheduler'), 'none');
    execFileSync('mkfs.ext4', ['-q', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', this.#loop]);
    execFileSync('mount', [this.#loop, this.folder]);
    const number = readFileSync(join(queue, 'dev'), 'utf8').trim();
    for (const way of ['read', 'write']) {
      writeFileSync(join(this.#group, `blkio.throttle.${way}_bps_device`), `${number} ${CEILING}`);
    }
    writeFileSync(join(this.#group, 'blkio.throttle.read_iops_device'), `${number} ${READS_PER_SECOND}`);
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** The command as one of those that share the ceiling. */
  inGroup(argv: readonly string[]): readonly string[] {
    return ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(this.#group, 'cgroup.procs'), ...argv];
  }

  /** Of the files: what is read of them next comes from the disk. */
  forget(...names: readonly string[]): void {
    execFileSync('sync', ['-f', this.folder]);
    for (const name of names) {
      const fd = openSync(this.path(name), 'r');
      dropCache(fd, { offset: 0, length: Number.MAX_SAFE_INTEGER });
      closeSync(fd);
    }
  }

  counters(): DiskCounters {
    const fields = readFileSync(join('/sys/block', basename(this.#loop), 'stat'), 'utf8')
      .trim()
      .split(/\s+/);
    const bytes = (field: number): number => Number(fields[field]) * SECTOR_BYTES;
    return { readBytes: bytes(2), writtenBytes: bytes(6) };
  }

  close(): void {
    spawnSync('umount', [this.folder]);
    if (this.#loop !== '') spawnSync('losetup', ['--detach', this.#loop]);
    spawnSync('umount', [this.#memory]);
    if (existsSync(this.#group)) rmdirSync(this.#group);
  }
}
