/**
 * The file calls of the engine, carried out in a real folder and written down, so that the power-cut model can ask what
 * a disk may hold after any of them. Durable is only what a sync that came back has covered: bytes by a sync of their
 * file, the names in the folder by a sync of the folder.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';

/** What was done to the bytes of a file. */
export type ByteChange =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'truncate'; readonly size: number }
  | { readonly kind: 'punch'; readonly at: number; readonly length: number };

/** What was done to the names in the folder. */
export type NameChange =
  | { readonly kind: 'create'; readonly name: string; readonly file: number }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string; readonly file: number }
  | { readonly kind: 'unlink'; readonly name: string };

export type Entry =
  | { readonly kind: 'bytes'; readonly file: number; readonly change: ByteChange }
  | { readonly kind: 'sync'; readonly file: number }
  | { readonly kind: 'names'; readonly change: NameChange }
  | { readonly kind: 'sync-folder' };

/** A folder with files, as far as the model knows it. Files are known by number, and keep their inode numbers. */
export interface Disk {
  readonly names: ReadonlyMap<string, number>;
  readonly files: ReadonlyMap<number, Buffer>;
}

export class RecordingFiles {
  readonly log: Entry[] = [];
  readonly start: Disk;
  /** The inode of each file, by which the engine knows its own again after the power came back. */
  readonly inodes = new Map<number, bigint>();
  readonly layer: FileLayer;
  /** The process dies before this entry of the log: no call that changes anything comes through any more. */
  dieAt = Number.POSITIVE_INFINITY;
  readonly #folder: string;
  readonly #names: Map<string, number>;
  readonly #open = new Map<number, number>();
  #files = 0;
  #times: ReadonlyMap<bigint, bigint> | undefined;

  constructor(folder: string) {
    this.#folder = folder;
    this.#names = new Map(readdirSync(folder).map((name) => [name, this.#newFile(join(folder, name))]));
    const files = [...this.#names].map(([name, file]) => [file, readFileSync(join(folder, name))] as const);
    this.start = { names: new Map(this.#names), files: new Map(files) };
    this.layer = { ...realFiles, ...this.#calls(), ...this.#nameCalls() };
  }

  /** What the engine knows a file by: its inode, and the time of its last change. */
  statOf(file: number): { readonly ino: bigint; readonly mtimeNs?: bigint } {
    const ino = this.inodes.get(file) ?? 0n;
    this.#times ??= new Map(readdirSync(this.#folder).map((name) => this.#timeOf(join(this.#folder, name))));
    const mtimeNs = this.#times.get(ino);
    return mtimeNs === undefined ? { ino } : { ino, mtimeNs };
  }

  #timeOf(path: string): readonly [bigint, bigint] {
    const stat = realFiles.lstat(path);
    return [stat?.ino ?? 0n, stat?.mtimeNs ?? 0n];
  }

  /** The next process begins; the kernel closed what the last one had open. */
  revive(): void {
    for (const fd of this.#open.keys()) realFiles.closeSync(fd);
    this.#open.clear();
    this.dieAt = Number.POSITIVE_INFINITY;
  }

  /** Time passes, and the kernel writes back what nobody asked for. */
  syncAll(): void {
    for (const file of this.inodes.keys()) this.log.push({ kind: 'sync', file });
    this.log.push({ kind: 'sync-folder' });
  }

  #assertAlive(): void {
    if (this.log.length >= this.dieAt) throw new Error('this process was killed');
  }

  #newFile(path: string): number {
    const file = ++this.#files;
    this.inodes.set(file, realFiles.lstat(path)?.ino ?? 0n);
    return file;
  }

  /** The name inside the folder; undefined for what is outside, such as the source. */
  #inside(path: unknown): string | undefined {
    const real = String(path).replace(/^\/proc\/self\/fd\/\d+/, (held) => readlinkSync(held));
    return dirname(real) === this.#folder ? basename(real) : undefined;
  }

  #note(fd: number, change: ByteChange): void {
    const file = this.#open.get(fd);
    if (file !== undefined) this.log.push({ kind: 'bytes', file, change });
  }

  #noteSync(fd: number): void {
    this.#assertAlive();
    const file = this.#open.get(fd);
    if (file !== undefined) this.log.push({ kind: 'sync', file });
  }

  #calls(): Partial<FileLayer> {
    const writeSync = (fd: number, bytes: Uint8Array, from: number, length: number, at: number): number => {
      this.#assertAlive();
      const done = realFiles.writeSync(fd, bytes, from, length, at);
      this.#note(fd, { kind: 'write', at, bytes: Buffer.from(bytes.subarray(from, from + done)) });
      return done;
    };
    return {
      writeSync: writeSync as FileLayer['writeSync'],
      ftruncateSync: (fd, size) => {
        this.#assertAlive();
        realFiles.ftruncateSync(fd, size);
        this.#note(fd, { kind: 'truncate', size: size ?? 0 });
      },
      punchHole: (fd, range) => {
        this.#assertAlive();
        const done = realFiles.punchHole(fd, range);
        if (done) this.#note(fd, { kind: 'punch', at: range.offset, length: range.length });
        return done;
      },
      setTimes: (fd, times) => {
        this.#assertAlive();
        realFiles.setTimes(fd, times);
      },
      applyAttributes: (fd, attributes) => {
        this.#assertAlive();
        return realFiles.applyAttributes(fd, attributes);
      },
      // Other ways of writing than by write() are not part of the model.
      probeClone: () => ({ refused: 'not here' }),
      writeUncached: () => undefined,
      fsyncSync: (fd) => this.#noteSync(fd),
      fdatasyncSync: (fd) => this.#noteSync(fd),
      closeSync: (fd) => {
        if (this.#open.has(fd)) this.#assertAlive();
        realFiles.closeSync(fd);
        this.#open.delete(fd);
      },
    };
  }

  #nameCalls(): Partial<FileLayer> {
    return {
      openSync: (path, flags, mode) => {
        if (this.#inside(path) !== undefined) this.#assertAlive();
        const fd = realFiles.openSync(path, flags, mode);
        const name = this.#inside(path);
        if (name === undefined) return fd;
        if (!this.#names.has(name)) this.#create(name);
        this.#open.set(fd, this.#names.get(name) as number);
        return fd;
      },
      renameSync: (from, to) => {
        this.#assertAlive();
        realFiles.renameSync(from, to);
        this.#rename(from, to);
      },
      publishNew: (from, to) => {
        this.#assertAlive();
        const how = realFiles.publishNew(from, to);
        if (how !== 'exists') this.#rename(from, to);
        return how;
      },
      unlinkSync: (path) => {
        this.#assertAlive();
        realFiles.unlinkSync(path);
        const name = this.#inside(path) as string;
        this.#names.delete(name);
        this.log.push({ kind: 'names', change: { kind: 'unlink', name } });
      },
      syncFolder: () => {
        this.#assertAlive();
        this.log.push({ kind: 'sync-folder' });
      },
      syncFileSystem: () => {
        this.#assertAlive();
        this.syncAll();
        return true;
      },
    };
  }

  #create(name: string): void {
    const file = this.#newFile(join(this.#folder, name));
    this.#names.set(name, file);
    this.log.push({ kind: 'names', change: { kind: 'create', name, file } });
  }

  #rename(fromPath: unknown, toPath: unknown): void {
    const [from, to] = [this.#inside(fromPath) as string, this.#inside(toPath) as string];
    const file = this.#names.get(from) as number;
    this.#names.delete(from);
    this.#names.set(to, file);
    this.log.push({ kind: 'names', change: { kind: 'rename', from, to, file } });
  }
}
