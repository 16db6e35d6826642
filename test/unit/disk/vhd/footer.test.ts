/** The VHD footer against one that QEMU wrote, the spec's own steps, damage of every kind, and the real qemu-img. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { TransferError } from '../../../../src/core/errors.js';
import { GiB, MiB } from '../../../../src/core/units.js';
import {
  chsGeometry,
  decodeVhdFooter,
  encodeVhdFooter,
  fixedVhdFooter,
  VHD_NO_DATA_OFFSET,
  VHD_SIZE_BYTES_MAX,
  type VhdFooterFields,
} from '../../../../src/disk/vhd/footer.js';

const uniqueId = Uint8Array.from({ length: 16 }, (_, index) => index * 7);
const createdAtMs = Date.UTC(2024, 1, 29, 12);
const made = (sizeBytes: number): VhdFooterFields => fixedVhdFooter({ sizeBytes, uniqueId, createdAtMs });

/** `qemu-img create -f vpc -o subformat=fixed disk.vhd 64M`: its first 85 bytes; the other 427 are zero. */
const QEMU_FOOTER = Buffer.concat([
  Buffer.from('636f6e65637469780000000200010000ffffffffffffffff3295f3047165', 'hex'),
  Buffer.from('6d75000500035769326b0000000004004000000000000400400003c40811', 'hex'),
  Buffer.from('00000002ffffe6ab0a584e9bfe484cfbbe765bb088011dfa00', 'hex'),
  Buffer.alloc(427),
]);

/** Writes a number into a footer and makes its checksum right again, so that only the number can be refused. */
function patched(at: number, bytes: readonly number[]): Buffer {
  const footer = encodeVhdFooter(made(64 * MiB));
  footer.set(bytes, at);
  footer.writeUInt32BE(0, 64);
  footer.writeUInt32BE(~footer.reduce((sum, byte) => sum + byte, 0) >>> 0, 64);
  return footer;
}

function refusal(act: () => unknown): TransferError {
  try {
    act();
  } catch (thrown) {
    if (thrown instanceof TransferError) return thrown;
    throw thrown;
  }
  throw new Error('expected a refusal');
}

test('reads a footer that QEMU wrote, field by field, and writes the same bytes again', () => {
  const footer = decodeVhdFooter(QEMU_FOOTER);
  expect(footer).toEqual({
    features: 2,
    formatVersion: 0x0001_0000,
    dataOffset: VHD_NO_DATA_OFFSET,
    timestamp: 0x3295f304,
    creatorApplication: 'qemu',
    creatorVersion: 0x0005_0003,
    creatorHostOs: 'Wi2k',
    originalBytes: 0x4004000,
    currentBytes: 0x4004000,
    geometry: { cylinders: 964, heads: 8, sectorsPerTrack: 17 },
    diskType: 'fixed',
    checksum: 0xffffe6ab,
    uniqueId: Uint8Array.from(Buffer.from('0a584e9bfe484cfbbe765bb088011dfa', 'hex')),
    savedState: false,
  });
  expect(encodeVhdFooter(footer).equals(QEMU_FOOTER)).toBe(true);
  expect(chsGeometry(footer.currentBytes)).toEqual(footer.geometry);
});

test('counts time in seconds since the year 2000 and keeps the exact size of a fixed disk', () => {
  const footer = decodeVhdFooter(encodeVhdFooter(made(GiB + 512)));
  expect(footer).toMatchObject({ timestamp: (createdAtMs - Date.UTC(2000, 0, 1)) / 1000, diskType: 'fixed' });
  expect([footer.originalBytes, footer.currentBytes]).toEqual([GiB + 512, GiB + 512]);
  expect(footer.uniqueId).toEqual(uniqueId);
});

test('reads back every footer that it writes', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
  const four = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 });
  const text = four.map((codes) => String.fromCharCode(...codes));
  const fields: fc.Arbitrary<VhdFooterFields> = fc.record({
    features: u32,
    formatVersion: fc.integer({ min: 0x1_0000, max: 0x1_ffff }),
    dataOffset: fc.bigInt({ min: 512n, max: BigInt(Number.MAX_SAFE_INTEGER) }),
    timestamp: u32,
    creatorApplication: text,
    creatorVersion: u32,
    creatorHostOs: text,
    originalBytes: fc.maxSafeNat(),
    currentBytes: fc.integer({ min: 1, max: VHD_SIZE_BYTES_MAX / 512 }).map((sectors) => sectors * 512),
    geometry: fc.record({
      cylinders: fc.integer({ min: 0, max: 0xffff }),
      heads: fc.integer({ min: 0, max: 0xff }),
      sectorsPerTrack: fc.integer({ min: 0, max: 0xff }),
    }),
    diskType: fc.constantFrom('fixed', 'dynamic', 'differencing'),
    uniqueId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    savedState: fc.boolean(),
  });
  fc.assert(
    fc.property(fields, (footer) => {
      const { checksum, ...decoded } = decodeVhdFooter(encodeVhdFooter(footer));
      expect(decoded).toEqual(footer);
      expect(checksum).toBeGreaterThan(0xffff_ffff - 508 * 255 - 1);
    }),
  );
});

// The two sides of each step of the appendix "CHS Calculation". Where 17-sector tracks fill their heads to the last
// cylinder, the appendix goes on to longer tracks, although one more head would do: see 69632 sectors.
test.each([
  [1, 0, 4, 17],
  [67, 0, 4, 17],
  [68, 1, 4, 17],
  [4 * 17 * 1024 - 1, 1023, 4, 17],
  [4 * 17 * 1024, 140, 16, 31],
  [4 * 17 * 1024 + 17, 819, 5, 17],
  [16 * 17 * 1024 - 1, 1023, 16, 17],
  [16 * 17 * 1024, 561, 16, 31],
  [16 * 31 * 1024 - 1, 1023, 16, 31],
  [16 * 31 * 1024, 503, 16, 63],
  [65535 * 16 * 63 - 1, 65534, 16, 63],
  [65535 * 16 * 63, 16191, 16, 255],
  [65535 * 16 * 255 - 1, 65534, 16, 255],
  [65535 * 16 * 255, 65535, 16, 255],
  [VHD_SIZE_BYTES_MAX / 512, 65535, 16, 255],
])(
  'a disk of %i sectors has %i cylinders, %i heads and %i sectors per track',
  (sectors, cylinders, heads, perTrack) => {
    expect(chsGeometry(sectors * 512)).toEqual({ cylinders, heads, sectorsPerTrack: perTrack });
  },
);

test('says what was expected and what was found when a footer is not one', () => {
  const good = encodeVhdFooter(made(64 * MiB));
  const wrong: readonly (readonly [Uint8Array, RegExp])[] = [
    [good.subarray(1), /length: expected 512 bytes, found 511 bytes/],
    [new Uint8Array(512), /cookie: expected "conectix", found "\\u0000/],
    [Buffer.from(good).fill(0xff, 64, 68), /checksum: expected 0xffff.{4}, by its other bytes, found 0xffffffff/],
    [patched(12, [0, 2, 0, 0]), /file format version: expected major version 1, found 0x00020000/],
    [patched(60, [0, 0, 0, 5]), /disk type: expected one of 2 \(fixed\), 3 \(dynamic\), 4 \(differencing\), found 5/],
    [patched(60, [0, 0, 0, 3]), /data offset: expected the byte offset of a dynamic disk's header/],
    [patched(48, [0, 0, 0, 0, 0, 0, 0, 0]), /current size: expected a multiple of 512 .*, found 0 bytes/],
    [patched(48, [0, 0, 0, 0, 4, 0, 0, 1]), /current size: .* found 67108865 bytes/],
    [patched(48, [0, 0, 1, 0xfe, 0, 0, 2, 0]), /current size: .* \(2040 GiB\), found 2190433321472 bytes/],
    [patched(40, Array(8).fill(0xff)), /original size: expected a whole number up to 9007199254740991/],
  ];
  for (const [bytes, message] of wrong) {
    const error = refusal(() => decodeVhdFooter(bytes));
    expect(error.code).toBe('E_DISK_FORMAT');
    expect(error.message).toMatch(message);
    expect(error.detail.hint).toBeDefined();
  }
});

test('refuses to write what it would refuse to read', () => {
  const footer = made(64 * MiB);
  const wrong: readonly Partial<VhdFooterFields>[] = [
    { currentBytes: 1000 },
    { currentBytes: VHD_SIZE_BYTES_MAX + 512 },
    { currentBytes: Number.NaN },
    { uniqueId: new Uint8Array(15) },
    { creatorApplication: 'win' },
    { creatorHostOs: 'Wi2€' },
    { timestamp: -1 },
    { geometry: { cylinders: 65536, heads: 16, sectorsPerTrack: 255 } },
    { dataOffset: -1n },
    { diskType: 'differencing' },
  ];
  for (const change of wrong) {
    expect(refusal(() => encodeVhdFooter({ ...footer, ...change })).code).toBe('E_DISK_FORMAT');
  }
});

test('finds every single flipped bit in a footer', () => {
  const good = encodeVhdFooter(made(GiB));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 512 * 8 - 1 }), (bit) => {
      const bytes = Buffer.from(good);
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(refusal(() => decodeVhdFooter(bytes)).code).toBe('E_DISK_FORMAT');
    }),
    { numRuns: 500 },
  );
});

test('answers any bytes with a refusal or with a footer that reads the same when written again', () => {
  const noise = fc.uint8Array({ maxLength: 600 });
  const sealed = fc
    .tuple(fc.integer({ min: 8, max: 84 }), fc.uint8Array({ minLength: 1, maxLength: 8 }))
    .map(([at, bytes]) => patched(at, [...bytes]));
  fc.assert(
    fc.property(fc.oneof(noise, sealed), (bytes) => {
      try {
        const footer = decodeVhdFooter(bytes);
        expect({ ...decodeVhdFooter(encodeVhdFooter(footer)), checksum: 0 }).toEqual({ ...footer, checksum: 0 });
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(TransferError);
        expect(thrown).toMatchObject({ code: 'E_DISK_FORMAT' });
      }
    }),
    { numRuns: 500 },
  );
});

const qemuImg = spawnSync('qemu-img', ['--version']).status === 0;

describe.skipIf(!qemuImg)(`with qemu-img${qemuImg ? '' : ' (skipped: qemu-img is not installed)'}`, () => {
  let folder = '';
  const path = (name: string): string => join(folder, name);
  const qemu = (...args: string[]): string => execFileSync('qemu-img', args, { encoding: 'utf8' });
  const footerOf = (name: string) => decodeVhdFooter(readFileSync(path(name)).subarray(-512));

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'blockferry-vhd-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test.each([512, 8 * MiB, 5 * MiB + 1536])('QEMU sees a fixed disk of %i bytes whole and equal', (sizeBytes) => {
    const raw = Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, at) => (at * 31 + (at >> 9)) & 0xff));
    writeFileSync(path('disk.raw'), raw);
    writeFileSync(path('disk.vhd'), Buffer.concat([raw, encodeVhdFooter(made(sizeBytes))]));
    const info = JSON.parse(qemu('info', '-f', 'vpc', '--output=json', path('disk.vhd')));
    expect(info['virtual-size']).toBe(sizeBytes);
    expect(qemu('compare', '-s', '-f', 'vpc', '-F', 'raw', path('disk.vhd'), path('disk.raw'))).toMatch('identical');
  });

  test('a fixed disk made by QEMU with an exact size is read here', () => {
    qemu('create', '-q', '-f', 'vpc', '-o', 'subformat=fixed,force_size=on', path('exact.vhd'), String(10 * MiB + 512));
    expect(footerOf('exact.vhd')).toMatchObject({ diskType: 'fixed', currentBytes: 10 * MiB + 512 });
  });

  test('QEMU and the spec agree on the geometry of its disks', () => {
    for (const size of ['3M', '130M', '200M', '300M']) {
      qemu('create', '-q', '-f', 'vpc', path('dynamic.vhd'), size);
      const footer = footerOf('dynamic.vhd');
      expect(footer).toMatchObject({ diskType: 'dynamic', dataOffset: 512n });
      expect(footer.geometry).toEqual(chsGeometry(footer.currentBytes));
    }
  });
});
