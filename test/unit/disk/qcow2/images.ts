/** What tests of qcow2 share: images made by qemu-img and qemu-io, opened here, and what a guest would read of them. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ChainLink, DiskChain } from '../../../../src/disk/chain.js';
import { diskError } from '../../../../src/disk/disk-bytes.js';
import { openImage } from '../../../../src/disk/formats.js';
import type { DiskBytes, Finding } from '../../../../src/disk/image.js';
import type { DiskFile } from '../../../../src/disk/image-writer.js';
import { qcow2 } from '../../../../src/disk/qcow2/qcow2.js';

const commands = ['qemu-img', 'qemu-io', '7zz', 'zstd'];
const missing = commands.filter((command) => spawnSync(command, ['--help']).status !== 0);

/** Why tests against other tools cannot run here; undefined: they can. */
export const noTools = missing.length > 0 ? `${missing.join(', ')}: not installed` : undefined;

export class Images {
  readonly folder = mkdtempSync(join(tmpdir(), 'blockferry-qcow2-'));
  readonly #open: number[] = [];

  remove(): void {
    for (const fd of this.#open) closeSync(fd);
    rmSync(this.folder, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  qemu(...args: readonly string[]): string {
    return execFileSync('qemu-img', args, { encoding: 'utf8', cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] });
  }

  /** Makes an image; `options` are those of `-o`. */
  create(name: string, size: string | number, options = '', ...more: readonly string[]): void {
    const given = options === '' ? [] : ['-o', options];
    this.qemu('create', '-q', '-f', 'qcow2', ...given, ...more, name, String(size));
  }

  /** Runs commands of qemu-io, such as `write -P 7 0 64k`; one that QEMU refuses changes nothing. */
  io(name: string, ...lines: readonly string[]): void {
    const args = lines.flatMap((line) => ['-c', line]);
    spawnSync('qemu-io', ['-f', 'qcow2', ...args, name], { cwd: this.folder });
  }

  /** What a guest reads, by qemu-img, its parents included. */
  content(name: string, format = 'qcow2'): Buffer {
    this.qemu('convert', '-f', format, '-O', 'raw', name, 'content.raw');
    return readFileSync(this.path('content.raw'));
  }

  /** qemu-img check, as it answers: 0 when nothing is wrong. */
  check(name: string): { status: number | null; text: string } {
    const done = spawnSync('qemu-img', ['check', '-f', 'qcow2', name], { cwd: this.folder, encoding: 'utf8' });
    return { status: done.status, text: done.stdout + done.stderr };
  }

  file(name: string): DiskFile {
    const fd = openSync(this.path(name), 'r+');
    this.#open.push(fd);
    return diskFile(name, fd);
  }

  bytes(name: string): DiskBytes {
    return this.file(name);
  }

  write(name: string, bytes: Uint8Array): void {
    writeFileSync(this.path(name), bytes);
  }
}

export function diskFile(name: string, fd: number): DiskFile {
  const readNow: DiskFile['readNow'] = ({ offset, length }, what) => {
    const into = Buffer.alloc(length);
    const got = offset >= 0 && Number.isSafeInteger(offset) ? readSync(fd, into, 0, length, offset) : 0;
    if (got !== length) throw diskError(name, what, offset, `${length} bytes inside the file`, `${got} bytes`);
    return into;
  };
  return {
    name,
    get size() {
      return fstatSync(fd).size;
    },
    readNow,
    read: async (range, what) => readNow(range, what),
    write: (at, bytes) => {
      if (writeSync(fd, bytes, 0, bytes.length, at) !== bytes.length) throw new Error('a short write');
    },
    flush: () => fsyncSync(fd),
    setSize: (bytes) => ftruncateSync(fd, bytes),
  };
}

/** Bytes in memory, as a container. */
export function memoryBytes(bytes: Buffer, name = 'image'): DiskBytes {
  return {
    name,
    size: bytes.length,
    read: async ({ offset, length }, what) => {
      const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset <= bytes.length - length;
      if (!inside || length > 16 * 2 ** 20) throw diskError(name, what, offset, `${length} bytes`, 'less');
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
  };
}

/** What a guest reads of the chain whose child comes first. */
export async function guestBytes(...containers: readonly [DiskBytes, ...DiskBytes[]]): Promise<Buffer> {
  const links: ChainLink[] = [];
  for (const bytes of containers) links.push({ bytes, image: await openImage(bytes) });
  const chain = new DiskChain(links as [ChainLink, ...ChainLink[]]);
  return chainBytes(chain, { offset: 0, length: chain.size });
}

export async function chainBytes(chain: DiskChain, range: { offset: number; length: number }): Promise<Buffer> {
  const made = Buffer.alloc(range.length);
  let at = 0;
  for await (const run of chain.runs(range)) {
    if (run.kind === 'data') {
      const bytes = chain.links[run.link]?.bytes as DiskBytes;
      for (let done = 0; done < run.length; ) {
        const length = Math.min(run.length - done, 2 ** 24);
        made.set(await bytes.read({ offset: run.at + done, length }, 'data'), at + done);
        done += length;
      }
    } else if (run.kind === 'made') made.set(await run.make(), at);
    at += run.length;
  }
  if (at !== range.length) throw new Error(`runs of ${at} bytes for a range of ${range.length}`);
  return made;
}

export async function findings(bytes: DiskBytes): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  await qcow2.check(bytes, { add: (finding) => void found.push(finding) });
  return found;
}
