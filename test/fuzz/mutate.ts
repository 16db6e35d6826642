/** Damages an image by chance that can be played again, mostly where the format keeps its structures. */
import type { DiskFormat } from '../../src/disk/image.js';
import { sealVhd, sealVhdx } from '../support/checksums.js';
import type { Seeded } from '../support/seeded.js';
import type { Anatomy } from './anatomy.js';
import { type Overlay, SECTOR } from './overlay.js';

export interface Subject {
  readonly file: Overlay;
  readonly format: DiskFormat;
  readonly anatomy: Anatomy;
}

type Mutation = (subject: Subject, seeded: Seeded) => string;

/** Numbers at which something ends: widths, signs, what a double holds, and nothing. */
const NUMBERS: readonly bigint[] = [
  ...[0n, 1n, 2n, 3n, 7n, 0xffn, 0x1ffn, 0x200n, 0xffffn, 0x10000n, 0x100000n, 0x200000n],
  ...[31n, 32n, 40n, 53n, 55n, 56n, 62n, 63n, 64n].flatMap((bits) => [
    (1n << bits) - 1n,
    1n << bits,
    (1n << bits) + 1n,
  ]),
];

const mutations: readonly (readonly [weight: number, Mutation])[] = [
  [6, flipBits],
  [8, spliceNumber],
  [5, addALittle],
  [4, exchange],
  [3, copySector],
  [2, zeroSector],
  [2, noise],
  [3, cutShort],
  [1, grow],
  [3, changePayload],
];

const chances = mutations.flatMap(([weight, mutation]) => Array<Mutation>(weight).fill(mutation));

/** One change, sometimes some more, and then, half of the time, checksums that are right again. Says what was done. */
export function mutate(subject: Subject, seeded: Seeded): string {
  const said = Array.from({ length: seeded.pick([1, 1, 1, 2, 3]) }, () => seeded.pick(chances)(subject, seeded));
  if (seeded.chance(0.5) && reseal(subject)) said.push('checksums made right');
  return said.join('; ');
}

/** A sector of a structure: the first ones of a run more often, and now and then the empty one after it. */
function structureAt({ anatomy, file }: Subject, seeded: Seeded): number {
  const run = anatomy.structures.length > 0 ? seeded.pick(anatomy.structures) : { at: 0, sectors: 1 };
  const sector = seeded.chance(0.6) ? seeded.int(0, Math.min(1, run.sectors - 1)) : seeded.int(0, run.sectors);
  return Math.min(run.at + sector * SECTOR, Math.max(0, file.size - SECTOR));
}

/** The place of a number of so many bytes: mostly where something other than zero is. */
function fieldAt(subject: Subject, bytes: number, seeded: Seeded): number {
  const at = structureAt(subject, seeded);
  const sector = subject.file.read({ offset: at, length: SECTOR });
  const fields = Array.from({ length: SECTOR / bytes }, (_, index) => index * bytes);
  const used = fields.filter((field) => sector.subarray(field, field + bytes).some((byte) => byte !== 0));
  return at + seeded.pick(used.length > 0 && seeded.chance(0.8) ? used : fields);
}

function flipBits(subject: Subject, seeded: Seeded): string {
  const places = Array.from({ length: seeded.pick([1, 1, 1, 2, 8]) }, () => {
    const at = fieldAt(subject, 1, seeded);
    const [byte = 0] = subject.file.read({ offset: at, length: 1 });
    subject.file.write(at, Buffer.of(byte ^ (1 << seeded.int(0, 7))));
    return at;
  });
  return `bits flipped at ${places.join(', ')}`;
}

function spliceNumber(subject: Subject, seeded: Seeded): string {
  const { file } = subject;
  const bytes = seeded.pick([1, 2, 4, 4, 8, 8]);
  const at = fieldAt(subject, bytes, seeded);
  const sizes = [0, 1, SECTOR, 65_536].flatMap((step) => [BigInt(file.size + step), BigInt(file.size - step)]);
  const offsets = [...sizes, ...sizes.map((size) => size / BigInt(SECTOR)), BigInt(structureAt(subject, seeded))];
  const value = BigInt.asUintN(bytes * 8, seeded.pick(seeded.chance(0.6) ? NUMBERS : offsets));
  file.write(at, encode(value, bytes, subject.format));
  return `${value} in ${bytes} bytes at ${at}`;
}

function addALittle(subject: Subject, seeded: Seeded): string {
  const bytes = seeded.pick([1, 2, 4, 8]);
  const at = fieldAt(subject, bytes, seeded);
  const by = seeded.pick([1n, 2n, 4n, 8n, 512n, 4096n, 65_536n, 1_048_576n]) * seeded.pick([1n, -1n]);
  const before = decode(subject.file.read({ offset: at, length: bytes }), subject.format);
  subject.file.write(at, encode(BigInt.asUintN(bytes * 8, before + by), bytes, subject.format));
  return `${by} added to the ${bytes} bytes at ${at}`;
}

/** Two numbers of one structure change places, or become the same. */
function exchange(subject: Subject, seeded: Seeded): string {
  const { file } = subject;
  const bytes = seeded.pick([4, 8]);
  const one = fieldAt(subject, bytes, seeded);
  const sector = one - (one % SECTOR);
  const other = seeded.chance(0.7)
    ? sector + seeded.int(0, SECTOR / bytes - 1) * bytes
    : fieldAt(subject, bytes, seeded);
  const [first, second] = [one, other].map((offset) => file.read({ offset, length: bytes }));
  if (!(first && second)) return 'nothing';
  file.write(one, second);
  if (seeded.chance(0.5)) file.write(other, first);
  return `${bytes} bytes of ${other} written to ${one}`;
}

function copySector(subject: Subject, seeded: Seeded): string {
  const [from, to] = [structureAt(subject, seeded), structureAt(subject, seeded)];
  subject.file.write(to, subject.file.read({ offset: from, length: SECTOR }));
  return `the sector at ${from} written to ${to}`;
}

function zeroSector(subject: Subject, seeded: Seeded): string {
  const at = structureAt(subject, seeded);
  subject.file.write(at, Buffer.alloc(SECTOR));
  return `the sector at ${at} made zero`;
}

function noise(subject: Subject, seeded: Seeded): string {
  const at = structureAt(subject, seeded) + seeded.int(0, SECTOR - 1);
  const length = seeded.pick([1, 4, 16, SECTOR]);
  subject.file.write(at, seeded.bytes(length));
  return `${length} random bytes at ${at}`;
}

function cutShort(subject: Subject, seeded: Seeded): string {
  const { file } = subject;
  const at = seeded.pick([structureAt(subject, seeded), seeded.int(0, file.size), file.size - seeded.int(0, 1024)]);
  const size = Math.max(0, Math.min(file.size, seeded.chance(0.5) ? at : at - (at % SECTOR)));
  file.resize(size);
  return `cut to ${size} bytes`;
}

function grow({ file }: Subject, seeded: Seeded): string {
  const before = file.size;
  const added = seeded.bytes(seeded.pick([1, 511, SECTOR, 4096, 65_536]));
  file.resize(before + added.length);
  if (seeded.chance(0.5)) file.write(before, added);
  return `${added.length} bytes added`;
}

/** Bytes of the guest become other bytes of the guest: no damage at all. */
function changePayload({ anatomy, file }: Subject, seeded: Seeded): string {
  if (anatomy.payload.size === 0) return 'nothing';
  const at = seeded.pick([...anatomy.payload.keys()]);
  file.write(at, seeded.bytes(seeded.pick([1, 16, SECTOR])));
  return `bytes of the guest changed at ${at}`;
}

const isLittle = (format: DiskFormat): boolean => format === 'vhdx';

function encode(value: bigint, bytes: number, format: DiskFormat): Buffer {
  const big = Buffer.from(value.toString(16).padStart(bytes * 2, '0'), 'hex');
  return isLittle(format) ? big.reverse() : big;
}

function decode(bytes: Buffer, format: DiskFormat): bigint {
  return BigInt(`0x${(isLittle(format) ? Buffer.from(bytes).reverse() : bytes).toString('hex')}`);
}

/** Makes every checksum of the format right, so that damage reaches what stands behind it. False: it has none. */
function reseal({ file, format }: Subject): boolean {
  const sealed = (offset: number, length: number, seal: (structure: Buffer) => void, cookie: string): void => {
    const structure = file.read({ offset, length });
    if (!structure.toString('latin1').startsWith(cookie)) return;
    seal(structure);
    file.write(offset, structure);
  };
  if (format === 'vhd') {
    for (const at of [0, file.size - SECTOR]) {
      sealed(Math.max(0, at), SECTOR, (footer) => sealVhd(footer, 64), 'conectix');
    }
    const header = Number(file.read({ offset: 16, length: 8 }).readBigUInt64BE());
    if (header < file.size) sealed(header, 1024, (bytes) => sealVhd(bytes, 36), 'cxsparse');
  }
  if (format === 'vhdx') {
    for (const at of [64, 128]) sealed(at * 1024, 4096, sealVhdx, 'head');
    for (const at of [192, 256]) sealed(at * 1024, 65_536, sealVhdx, 'regi');
    for (let at = 1_048_576; at < 1_048_576 * 2; at += 4096) {
      const length = file.read({ offset: at + 8, length: 4 }).readUInt32LE();
      if (length >= 64 && length <= 1_048_576) sealed(at, length, sealVhdx, 'loge');
    }
  }
  return format === 'vhd' || format === 'vhdx';
}
