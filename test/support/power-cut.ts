/**
 * What a disk may hold when the power fails: everything that a sync has covered, and of the rest each change whole, in
 * part or not at all, in any combination. Stricter than any real file system, so what holds here holds there.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLayer, realFiles } from '../../src/platform/file-layer.js';
import type { ByteChange, Disk, Entry, NameChange, RecordingFiles } from './recording-files.js';
import type { Seeded } from './seeded.js';

type Pending =
  | { readonly kind: 'bytes'; readonly file: number; readonly change: ByteChange }
  | { readonly kind: 'names'; readonly change: NameChange };

/** How much of a change survived: none, all, or that part of its bytes from one of its two ends. */
export type Fate = 'dropped' | 'kept' | { readonly end: 'head' | 'tail'; readonly share: number };

/** More undecided changes than this are sampled; up to this many, every combination is tried. */
const EXHAUSTIVE_MAX = 3;

interface Cut {
  readonly durable: readonly Pending[];
  readonly pending: readonly Pending[];
}

/** Splits what was done before the cut into what a sync covered and what none did; each keeps its order. */
export function cutAfter(log: readonly Entry[], count: number): Cut {
  const before = log.slice(0, count);
  const syncedAt = (match: (entry: Entry) => boolean): number => before.findLastIndex(match);
  const lastFolderSync = syncedAt((entry) => entry.kind === 'sync-folder');
  const lastSyncs = new Map<number, number>();
  before.forEach((entry, at) => {
    if (entry.kind === 'sync') lastSyncs.set(entry.file, at);
  });
  const changes = before.flatMap((entry, at) =>
    entry.kind === 'bytes' || entry.kind === 'names' ? [{ entry, at }] : [],
  );
  const isDurable = ({ entry, at }: { entry: Pending; at: number }): boolean =>
    at < (entry.kind === 'names' ? lastFolderSync : (lastSyncs.get(entry.file) ?? -1));
  return {
    durable: changes.filter(isDurable).map(({ entry }) => entry),
    pending: changes.filter((change) => !isDurable(change)).map(({ entry }) => entry),
  };
}

/** The combinations of fates to try: all of them where they are few, else nothing, everything and a sample. */
export function* fatesOf(pending: readonly Pending[], samples: number, seeded: Seeded): Generator<Fate[]> {
  if (pending.length <= EXHAUSTIVE_MAX) {
    yield* combinations(pending.map((change) => choices(change, seeded)));
    return;
  }
  yield pending.map(() => 'dropped' as const);
  yield pending.map(() => 'kept' as const);
  for (let sample = 0; sample < samples; sample++) {
    const kept = seeded.random();
    yield pending.map((change) => {
      if (isWrite(change) && seeded.chance(0.2)) return torn(seeded);
      return seeded.chance(kept) ? 'kept' : 'dropped';
    });
  }
}

function* combinations(of: readonly (readonly Fate[])[]): Generator<Fate[]> {
  const [first, ...rest] = of;
  if (!first) return yield [];
  for (const fate of first) for (const others of combinations(rest)) yield [fate, ...others];
}

function choices(change: Pending, seeded: Seeded): Fate[] {
  return isWrite(change) ? ['dropped', 'kept', torn(seeded)] : ['dropped', 'kept'];
}

function isWrite(change: Pending): boolean {
  return change.kind === 'bytes' && change.change.kind === 'write';
}

function torn(seeded: Seeded): Fate {
  return { end: seeded.pick(['head', 'tail']), share: seeded.random() };
}

/** The disk after the cut, with the given fates of the undecided changes. */
export function diskAfter(recording: RecordingFiles, cut: Cut, fates: readonly Fate[]): Disk {
  const names = new Map(recording.start.names);
  const files = new Map(recording.start.files);
  const apply = (change: Pending, fate: Fate): void => {
    if (fate === 'dropped') return;
    if (change.kind === 'names') applyName(names, change.change);
    else files.set(change.file, applyBytes(files.get(change.file) ?? Buffer.alloc(0), change.change, fate));
  };
  for (const change of cut.durable) apply(change, 'kept');
  cut.pending.forEach((change, at) => {
    apply(change, fates[at] as Fate);
  });
  return { names, files };
}

function applyName(names: Map<string, number>, change: NameChange): void {
  if (change.kind === 'unlink') names.delete(change.name);
  else if (change.kind === 'create') names.set(change.name, change.file);
  else {
    // A file system may have carried out either half of a rename over others, but each file keeps at most one name.
    names.delete(change.from);
    names.set(change.to, change.file);
  }
}

function applyBytes(before: Buffer, change: ByteChange, fate: Fate): Buffer {
  if (change.kind === 'truncate') return resized(before, change.size);
  if (change.kind === 'punch') {
    const punched = Buffer.from(before);
    return punched.fill(0, Math.min(change.at, punched.length), Math.min(change.at + change.length, punched.length));
  }
  const { length } = change.bytes;
  const share = typeof fate === 'object' ? Math.floor(length * fate.share) : length;
  const from = typeof fate === 'object' && fate.end === 'tail' ? length - share : 0;
  const after = resized(before, Math.max(before.length, change.at + from + share));
  change.bytes.copy(after, change.at + from, from, from + share);
  return after;
}

/** What a file grows by reads as zero. */
function resized(bytes: Buffer, size: number): Buffer {
  const after = Buffer.alloc(size);
  bytes.copy(after);
  return after;
}

/**
 * The disk as an empty folder is made to hold it, where each file still has the inode number and the time that the
 * engine wrote down.
 */
export function reboot(
  disk: Disk,
  recording: RecordingFiles,
  folder: string,
): { readonly folder: string; readonly files: FileLayer } {
  const known = new Map<bigint, { readonly ino: bigint; readonly mtimeNs?: bigint }>();
  for (const [name, file] of disk.names) {
    writeFileSync(join(folder, name), disk.files.get(file) ?? Buffer.alloc(0), { mode: 0o600 });
    known.set(realFiles.lstat(join(folder, name))?.ino ?? 0n, recording.statOf(file));
  }
  const as = <S extends { ino: bigint } | undefined>(stat: S): S => stat && Object.assign(stat, known.get(stat.ino));
  const nothing = (): void => undefined;
  const files: FileLayer = {
    ...realFiles,
    fstat: (fd) => as(realFiles.fstat(fd)),
    lstat: (path) => as(realFiles.lstat(path)),
    stat: (path) => as(realFiles.stat(path)),
    // The power stays on from here; without these the test takes minutes.
    fsyncSync: nothing,
    fdatasyncSync: nothing,
    syncFolder: nothing,
  };
  return { folder, files };
}
