/**
 * `export.json`: what an export holds. It may come from a stranger: names are plain names of files in its folder,
 * fields have bounds, and what it says of itself is compared before anything is made of it.
 */
import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import Type, { type Static, type TSchema } from 'typebox';
import Value from 'typebox/value';
import { errnoOf, TransferError } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';
import { canonicalBytes } from './receipt.js';
import type { VmDescription, VmDisk } from './vm.js';
import { readVmDescription, VM_DESCRIPTION_BYTES_MAX } from './vm-description.js';

export const MANIFEST = 'export.json';
const BYTES_MAX = 2 * VM_DESCRIPTION_BYTES_MAX;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

const record = <P extends Record<string, TSchema>>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });
const word = <const W extends readonly string[]>(words: W) =>
  Type.Unsafe<W[number]>({ type: 'string', enum: [...words] });
const number = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
/** No folder, nothing hidden, nothing that a terminal or a file system takes for something else. */
const name = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$' });

const FILE = record({
  name,
  role: word(['disk', 'state', 'kernel', 'initrd']),
  /** Of a disk: its id, and the place in its chain, from 0. */
  disk: Type.Optional(Type.String({ maxLength: 16 })),
  link: Type.Optional(Type.Integer({ minimum: 0, maximum: 63 })),
  bytes: number,
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
});

const CONTENT = {
  schema: Type.Literal(1),
  kind: Type.Literal('blockferry-export'),
  createdAt: number,
  content: word(['data', 'configuration', 'snapshot']),
  /** From 1. */
  snapshot: Type.Optional(Type.Integer({ minimum: 1, maximum: 63 })),
  state: Type.Optional(word(['off', 'saved', 'running', 'paused'])),
  files: Type.Array(FILE, { maxItems: 4096 }),
  vm: Type.Unknown(),
};

const SCHEMA = record({ ...CONTENT, sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }) });

export type ExportedFile = Static<typeof FILE>;

export interface ExportManifest {
  readonly schema: 1;
  readonly kind: 'blockferry-export';
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  readonly content: 'data' | 'configuration' | 'snapshot';
  readonly snapshot?: number;
  /**
   * Of data, what the machine did: the disks of one that ran are as after a power cut, and one that was saved has its
   * memory with it.
   */
  readonly state?: 'off' | 'saved' | 'running' | 'paused';
  readonly files: readonly ExportedFile[];
  /** With the paths that it had; of a snapshot or a flattened disk with no other images than are here. */
  readonly vm: VmDescription;
}

/** Durable, in a folder that has none yet. */
export function writeManifest(folder: string, manifest: ExportManifest): void {
  const text = `${JSON.stringify({ ...manifest, sha256: digestOf(manifest) }, undefined, 2)}\n`;
  const fd = openSync(join(folder, MANIFEST), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** @throws TransferError E_SOURCE_MISSING, E_MANIFEST */
export function readManifest(folder: string): ExportManifest {
  const path = join(folder, MANIFEST);
  const value = parsed(path);
  const { schema, kind } = (value ?? {}) as Partial<ExportManifest>;
  if (kind !== 'blockferry-export') throw wrong(path, 'it is no export of a machine');
  if (schema !== 1) throw wrong(path, `it is of schema ${JSON.stringify(schema)}, and this version knows 1`);
  if (!Value.Check(SCHEMA, value)) {
    const [first] = Value.Errors(SCHEMA, value);
    const field = (first?.instancePath ?? '').slice(1).replaceAll('/', '.') || 'a field';
    throw wrong(path, `${field} is not what it should be`);
  }
  const { sha256, ...content } = value;
  if (digestOf(content) !== sha256)
    throw wrong(path, 'it was changed since it was written: its SHA-256 is another one');
  const vm = readVmDescription(content.vm, path);
  const manifest: ExportManifest = { ...content, vm };
  assertFiles(path, manifest);
  return manifest;
}

const digestOf = (content: object): string => createHash('sha256').update(canonicalBytes(content)).digest('hex');

function parsed(path: string): unknown {
  const text = textOf(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw wrong(path, 'it is no JSON', cause);
  }
}

function textOf(path: string): string {
  try {
    const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    try {
      const stat = fstatSync(fd);
      if (!stat.isFile() || stat.size > BYTES_MAX) throw wrong(path, 'it is no small file');
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const errno = errnoOf(cause);
    if (errno === undefined || cause instanceof TransferError) throw cause;
    if (errno === 'ELOOP') throw wrong(path, 'it is a link');
    throw new TransferError('E_SOURCE_MISSING', `${showPath(path)} cannot be read (${errno})`, {
      hint: 'Name the folder of an export: the one that export.json lies in. Nothing was changed.',
      cause,
    });
  }
}

/** What the machine has, each once; nothing else. */
function assertFiles(path: string, { files, ...about }: ExportManifest): void {
  const wanted = new Set(about.content === 'configuration' ? [] : placesOf(about));
  const names = new Set([MANIFEST, ...files.map((file) => file.name)]);
  if (names.size <= files.length) throw wrong(path, 'two files have one name');
  const stray = files.find((file) => !wanted.delete(placeOf(file)));
  if (stray) throw wrong(path, `${stray.name} belongs to nothing, or to what another file is for`);
  const [missing] = wanted;
  if (missing !== undefined) throw wrong(path, `it names no file for ${missing}`);
}

function placesOf({ vm, state }: Pick<ExportManifest, 'vm' | 'state'>): string[] {
  return [
    ...vm.disks.flatMap(({ id, chain }) => chain.map((_, link) => placeOf({ disk: id, link }))),
    ...(vm.kernel ? ['kernel'] : []),
    ...(vm.kernel?.initrd === undefined ? [] : ['initrd']),
    ...(state === 'saved' ? ['state'] : []),
  ];
}

function placeOf({ role = 'disk', disk, link }: Partial<ExportedFile>): string {
  return role === 'disk' ? `disk ${disk}, image ${link}` : role;
}

export function imageIn(manifest: ExportManifest, disk: VmDisk, link: number): ExportedFile {
  const found = manifest.files.find((file) => file.role === 'disk' && file.disk === disk.id && file.link === link);
  if (found) return found;
  throw new TransferError('E_BUG', `the export has no image ${link} of ${disk.id}`);
}

function wrong(path: string, what: string, cause?: unknown): TransferError {
  return new TransferError('E_MANIFEST', `${showPath(path)} cannot be used: ${what}`, {
    hint: 'Export the machine again, or copy the whole export again. Nothing was changed.',
    ...(cause !== undefined && { cause }),
  });
}
