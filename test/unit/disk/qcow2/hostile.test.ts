import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KiB, MiB } from '../../../../src/core/units.js';
import { openImage } from '../../../../src/disk/formats.js';
import { findings, guestBytes, Images, memoryBytes, noTools } from './images.js';

const CLUSTER = 64 * KiB;

/** An image of 16 clusters written by hand: header, L1 table in cluster 1, L2 table in cluster 2, data from 3 on. */
function handMade(fields: (image: Buffer) => void = () => undefined, fileBytes = 16 * CLUSTER): Buffer {
  const image = Buffer.alloc(fileBytes);
  image.write('QFI\xfb', 'latin1');
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(16, 20);
  image.writeBigUInt64BE(BigInt(16 * CLUSTER), 24);
  image.writeUInt32BE(1, 36);
  image.writeBigUInt64BE(BigInt(CLUSTER), 40);
  image.writeUInt32BE(4, 96);
  image.writeUInt32BE(104, 100);
  image.writeBigUInt64BE(2n ** 63n + BigInt(2 * CLUSTER), CLUSTER);
  fields(image);
  return image;
}

const entry = (image: Buffer, cluster: number, value: bigint): number =>
  image.writeBigUInt64BE(value, 2 * CLUSTER + cluster * 8);

async function refusal(image: Buffer): Promise<string> {
  try {
    await guestBytes(memoryBytes(image));
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'E_DISK_FORMAT' });
    return (thrown as Error).message;
  }
  return 'read';
}

describe('a header that is wrong or not for this version is refused by name', () => {
  const cases: readonly [string, (image: Buffer) => void, RegExp][] = [
    ['version 4', (image) => image.writeUInt32BE(4, 4), /version at byte 4: expected 2 or 3, found 4/],
    ['clusters of 256 bytes', (image) => image.writeUInt32BE(8, 20), /cluster bits at byte 20.*found 8/],
    ['clusters of 4 GiB', (image) => image.writeUInt32BE(32, 20), /cluster bits at byte 20.*found 32/],
    ['AES', (image) => image.writeUInt32BE(1, 32), /encryption at byte 32: expected none, found AES/],
    ['LUKS', (image) => image.writeUInt32BE(2, 32), /expected none, found LUKS/],
    ['a data file', (image) => image.writeUInt8(4, 79), /found external data file/],
    [
      'a size of 2^63',
      (image) => image.writeBigUInt64BE(2n ** 63n, 24),
      /size at byte 24.*2\^53-1.*9223372036854775808/,
    ],
    [
      'a size that needs a larger table',
      (image) => image.writeBigUInt64BE(2n ** 40n, 24),
      /L1 table size.*2048 entries/,
    ],
    [
      'more L2 tables than clusters',
      (image) => {
        image.writeBigUInt64BE(2n ** 42n, 24);
        image.writeUInt32BE(8192, 36);
        for (let at = 0; at < CLUSTER; at += 8) image.writeBigUInt64BE(BigInt(2 * CLUSTER), CLUSTER + at);
      },
      /L1 table at byte 65536: expected at most 16 L2 tables.*found 8192/,
    ],
    ['an L1 table of 4 GiB', (image) => image.writeBigUInt64BE(2n ** 52n, 24), /an L1 table of at most 32 MiB/],
    ['an L1 table past the end', (image) => image.writeBigUInt64BE(2n ** 52n, 40), /L1 table at byte 4503599627370496/],
    ['an L1 table between clusters', (image) => image.writeBigUInt64BE(512n, 40), /L1 table offset at byte 40/],
    ['a header of 2 GiB', (image) => image.writeUInt32BE(2 ** 31, 100), /header length at byte 100/],
    ['refcounts of 128 bits', (image) => image.writeUInt32BE(7, 96), /refcount order at byte 96/],
    ['zstd without its bit', (image) => compressed(image, 1, 0), /compression type/],
    ['unknown compression', (image) => compressed(image, 2), /compression type.*found 2/],
    ['subclusters in small clusters', (image) => image.writeUInt32BE(9, image.writeUInt8(16, 79) - 60), /cluster bits/],
    ['an extension without end', (image) => image.writeBigUInt64BE(0x1234_5678_ffff_ffffn, 104), /header extension/],
    ['a name past the cluster', (image) => parent(image, 'x', 2 ** 40), /backing file name at byte 1099511627776/],
    ['a name of 1024 bytes', (image) => parent(image, 'x'.repeat(1024)), /at most 1023 bytes.*found 1024/],
    ['a name of nbd:', (image) => parent(image, 'nbd://host/x'), /no protocol or options, found "nbd:\/\/host\/x"/],
    ['a name of json:', (image) => parent(image, 'json:{"driver":"nbd"}'), /no protocol or options, found "json:/],
    ['a name with a NUL', (image) => parent(image, 'a\0b'), /a path, found "a\\\\x00b"/],
  ];
  const compressed = (image: Buffer, type: number, features = 8): void => {
    image.writeUInt8(features, 79);
    image.writeUInt32BE(112, 100);
    image.writeUInt8(type, 104);
  };
  const parent = (image: Buffer, name: string, at = 512): void => {
    image.writeBigUInt64BE(BigInt(at), 8);
    image.writeUInt32BE(name.length, 16);
    image.write(name, 512);
  };

  /** What QEMU reads is no damage. */
  const elsewhere = ['AES', 'LUKS', 'a data file', 'a name of nbd:', 'a name of json:'];

  test.each(cases)('%s', async (what, fields, message) => {
    const image = handMade(fields);
    expect(await refusal(image)).toMatch(message);
    const [found] = await findings(memoryBytes(image));
    expect(`${found?.severity} ${found?.code}`).toMatch(
      elsewhere.includes(what) ? /^doubtful unsupported$/ : /^wrong qcow2-(header|l1-past-end)$/,
    );
  });

  test('an unknown feature, by the name that the image has for it, made harmless', async () => {
    const image = handMade((bytes) => {
      bytes.writeUInt8(0x40, 79);
      bytes.writeUInt32BE(0x6803f857, 104);
      bytes.writeUInt32BE(48, 108);
      bytes.set([0, 6, ...Buffer.from('\x1b[31mred')], 112);
    });
    expect(await refusal(image)).toMatch('found "\\x1b[31mred" (bit 6)');
  });

  test('cut short anywhere in the header', async () => {
    for (const bytes of [4, 71, 72, 103]) {
      expect(await refusal(handMade().subarray(0, bytes))).toMatch(/image: |qcow2 header/);
    }
  });
});

describe('an entry that is wrong is refused, with the guest byte that it is for', () => {
  const cases: readonly [string, (image: Buffer) => unknown, RegExp, string][] = [
    [
      'past the end',
      (image) => entry(image, 2, 2n ** 40n),
      /cluster at byte 131072.*1048576.*1099511627776/,
      'truncated',
    ],
    ['near 2^56', (image) => entry(image, 2, 2n ** 56n - 65536n), /found byte 72057594037862400/, 'truncated'],
    ['between clusters', (image) => entry(image, 2, 65536n + 512n), /a multiple of 65536/, 'cluster-misaligned'],
    ['compressed, past the end', (image) => entry(image, 2, 2n ** 62n + 2n ** 40n), /compressed cluster/, 'truncated'],
    ['the table past the end', (image) => image.writeBigUInt64BE(2n ** 55n, CLUSTER), /L2 table 0/, 'l2-past-end'],
    ['the table between', (image) => image.writeBigUInt64BE(131584n, CLUSTER), /L2 table 0/, 'l2-misaligned'],
  ];

  test.each(cases)('%s', async (_, fields, message, code) => {
    const image = handMade(fields);
    expect(await refusal(image)).toMatch(message);
    expect(await findings(memoryBytes(image))).toContainEqual(
      expect.objectContaining({ code: `qcow2-${code}`, severity: 'wrong' }),
    );
  });

  test('a zero cluster in version 2', async () => {
    const image = handMade((bytes) => {
      bytes.writeUInt32BE(2, 4);
      entry(bytes, 0, 1n);
    });
    expect(await refusal(image)).toMatch('no zero clusters in version 2');
  });

  test('subclusters that are two things, or nowhere', async () => {
    for (const [place, bitmap] of [
      [3n * 65536n, 0x1_0000_0001n],
      [0n, 1n],
    ] as const) {
      const image = handMade((bytes) => {
        bytes.writeUInt8(16, 79);
        bytes.writeBigUInt64BE(place, 2 * CLUSTER);
        bytes.writeBigUInt64BE(bitmap, 2 * CLUSTER + 8);
      });
      expect(await refusal(image)).toMatch('no subcluster');
      expect((await findings(memoryBytes(image))).map(({ code }) => code)).toContain('qcow2-subclusters');
    }
  });

  test('reserved bits are told and passed over', async () => {
    const image = handMade((bytes) => entry(bytes, 0, BigInt(3 * CLUSTER) + 2n));
    image.fill(5, 3 * CLUSTER, 4 * CLUSTER);
    expect((await guestBytes(memoryBytes(image))).subarray(0, CLUSTER).equals(Buffer.alloc(CLUSTER, 5))).toBe(true);
    const found = await findings(memoryBytes(image));
    expect(found).toContainEqual(expect.objectContaining({ code: 'qcow2-entry-reserved', severity: 'doubtful' }));
  });
});

describe('compressed bytes', () => {
  /** Puts compressed bytes at the 4th cluster; the entry says how many further sectors they take. */
  const packed = (bytes: Buffer, sectors: number): Buffer =>
    handMade((image) => {
      bytes.copy(image, 3 * CLUSTER);
      entry(image, 0, 2n ** 62n + (BigInt(sectors) << 54n) + BigInt(3 * CLUSTER));
    });

  test('of a stream that goes on after a cluster are read up to there', async () => {
    const content = Buffer.alloc(64 * MiB, 'bomb');
    const image = packed(deflateRawSync(content), 126);
    expect((await guestBytes(memoryBytes(image))).subarray(0, CLUSTER).equals(content.subarray(0, CLUSTER))).toBe(true);
  });

  test('may end before their last sector, with anything behind them', async () => {
    const content = Buffer.alloc(CLUSTER, 'words and ');
    const image = packed(Buffer.concat([deflateRawSync(content), Buffer.alloc(9000, 0xa5)]), 10);
    expect((await guestBytes(memoryBytes(image))).subarray(0, CLUSTER).equals(content)).toBe(true);
  });

  test('that make less than a cluster, or are none, are refused', async () => {
    expect(await refusal(packed(deflateRawSync(Buffer.alloc(1000)), 1))).toMatch('expected a cluster of 65536 bytes');
    expect(await refusal(packed(Buffer.alloc(512, 0xff), 0))).toMatch(/compressed cluster \(zlib\) at byte 196608/);
    const cut = deflateRawSync(Buffer.from(Array.from({ length: CLUSTER }, (_, at) => (at * at) >> 3))).subarray(
      0,
      900,
    );
    expect(await refusal(packed(cut, 0))).toMatch('expected a cluster of 65536 bytes');
  });
});

describe('two things in one cluster are found', () => {
  const overlap = expect.objectContaining({ code: 'qcow2-clusters-overlap', severity: 'wrong' });

  test.each([
    ['two guest clusters', 3n, 3n],
    ['a guest cluster and the header', 0n, undefined],
    ['a guest cluster and the L1 table', 1n, undefined],
    ['a guest cluster and its own L2 table', 2n, undefined],
    ['a compressed cluster and another', 3n, 2n ** 46n + 3n],
  ])('%s', async (_, first, second) => {
    const image = handMade((bytes) => {
      if (first > 0n) entry(bytes, 0, first * 65536n);
      // The header's own cluster can be meant by a compressed cluster only.
      else entry(bytes, 0, 2n ** 62n + 512n);
      if (second !== undefined) entry(bytes, 1, second * 65536n);
    });
    expect(await findings(memoryBytes(image))).toContainEqual(overlap);
  });

  test('but two compressed clusters may share one', async () => {
    const image = handMade((bytes) => {
      entry(bytes, 0, 2n ** 62n + 3n * 65536n);
      entry(bytes, 1, 2n ** 62n + 3n * 65536n + 700n);
    });
    expect(await findings(memoryBytes(image))).not.toContainEqual(overlap);
  });
});

describe.skipIf(noTools)(`marks${noTools ? ` (skipped: ${noTools})` : ''}`, () => {
  let images: Images;
  beforeEach(() => {
    images = new Images();
  });
  afterEach(() => images.remove());

  test('of an image that was not closed, or is corrupt, are told, and it is read', async () => {
    images.create('disk.qcow2', MiB);
    images.io('disk.qcow2', 'write -P 3 0 64k');
    images.file('disk.qcow2').write(79, Uint8Array.of(3));
    const found = await findings(images.bytes('disk.qcow2'));
    expect(found.map(({ code, severity }) => `${code} ${severity}`)).toEqual([
      'qcow2-dirty doubtful',
      'qcow2-corrupt doubtful',
    ]);
    expect((await guestBytes(images.bytes('disk.qcow2')))[100]).toBe(3);
  });

  test('of a table of snapshots that QEMU cannot read', async () => {
    images.create('disk.qcow2', MiB);
    for (const name of ['one', 'two']) images.qemu('snapshot', '-c', name, 'disk.qcow2');
    expect(await findings(images.bytes('disk.qcow2'))).toEqual([]);
    const file = images.file('disk.qcow2');
    const table = Number((await file.read({ offset: 64, length: 8 }, 'place')).readBigUInt64BE());
    const damages: readonly (readonly [at: number, bytes: Uint8Array])[] = [
      [60, Uint8Array.of(0x75, 0x6e, 0x74, 0x73)],
      [60, Uint8Array.of(0, 0, 0xff, 0xff)],
      [71, Uint8Array.of(1)],
      [table + 36, Uint8Array.of(1)],
    ];
    for (const [at, bytes] of damages) {
      const before = await file.read({ offset: at, length: bytes.length }, 'what was there');
      file.write(at, bytes);
      expect(await findings(file), String(at)).toContainEqual(
        expect.objectContaining({ code: 'qcow2-snapshots', severity: 'wrong' }),
      );
      expect(() => images.qemu('info', 'disk.qcow2')).toThrow();
      file.write(at, before);
    }
  });

  test('of a file that was cut short: its tables say what is missing', async () => {
    images.create('disk.qcow2', 4 * MiB);
    images.io('disk.qcow2', 'write -P 3 0 4M');
    const file = images.file('disk.qcow2');
    file.setSize(file.size - 100 * KiB);
    const found = await findings(file);
    expect(found.map(({ code }) => code)).toEqual(['qcow2-truncated', 'qcow2-truncated']);
    await expect(guestBytes(file)).rejects.toMatchObject({ code: 'E_DISK_FORMAT' });
    file.setSize(100 * KiB);
    expect((await findings(file))[0]).toMatchObject({ code: expect.stringMatching(/past-end|refcount/) });
  });

  test('of clusters that are used and not counted', async () => {
    images.create('disk.qcow2', 4 * MiB);
    images.io('disk.qcow2', 'write -P 3 0 64k');
    const file = images.file('disk.qcow2');
    file.write(2 * CLUSTER, Buffer.alloc(64));
    expect(await findings(file)).toMatchObject([{ code: 'qcow2-refcount-low', severity: 'doubtful', offset: 0 }]);
    expect(await openImage(file)).toMatchObject({ kind: 'dynamic', size: 4 * MiB });
  });
});
