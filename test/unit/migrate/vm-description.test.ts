import { expect, test } from 'vitest';
import type { VmDescription } from '../../../src/migrate/vm.js';
import { parseVmDescription, readVmDescription } from '../../../src/migrate/vm-description.js';
import { sampleVm } from '../../support/sample-vm.js';

type Fields = Record<string, unknown>;
const refusal = (value: unknown): string => {
  try {
    readVmDescription(value, 'vm.json');
    return 'taken';
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: 'E_USAGE' });
    return (thrown as Error).message;
  }
};
const disk = (change: Fields): Fields => ({ ...sampleVm(), disks: [{ ...sampleVm().disks[0], ...change }] });
const image = (change: Fields): Fields => disk({ chain: [{ path: '/disks/d0.raw', format: 'raw', ...change }] });

test('a description is read as it was written', () => {
  const vm: VmDescription = sampleVm();
  expect(parseVmDescription(JSON.stringify(vm), 'vm.json')).toEqual(vm);
});

const cases: readonly (readonly [string, unknown, RegExp])[] = [
  ['nothing at all', undefined, /it is not a description/],
  ['another version', { ...sampleVm(), schema: 2 }, /schema is not 1/],
  ['an id that leads elsewhere', { ...sampleVm(), id: '../../etc' }, /: id is not a UUID/],
  ['a field that nobody knows', { ...sampleVm(), extra: '-incoming exec:true' }, /extra is not a field of it/],
  ['a field that is missing', { ...sampleVm(), disks: [{ id: 'd0' }] }, /disks\[0\]\.sizeBytes is not whole sectors/],
  ['a machine type that changes with QEMU', { ...sampleVm(), machine: 'pc' }, /machine is not a machine type with/],
  ['an option behind a machine type', { ...sampleVm(), machine: 'pc-q35-7.2,accel=x' }, /machine is not/],
  ['an option behind a CPU', { ...sampleVm(), cpu: 'qemu64,+kvm' }, /cpu is not the name/],
  ['too many CPUs', { ...sampleVm(), cpus: 4096 }, /cpus is not a number from 1 to 255/],
  ['memory that is no whole MiB', { ...sampleVm(), memoryBytes: 1024 * 1024 + 1 }, /memoryBytes is not whole MiB/],
  ['a control in the name', { ...sampleVm(), name: 'a\u001b[2J' }, /name is not a name without control/],
  ['two lines for the kernel', { ...sampleVm(), kernel: { image: '/k', append: 'a\nb' } }, /kernel\.append is not/],
  ['half a sector', disk({ sizeBytes: 700 }), /disks\[0\]\.sizeBytes is not whole sectors/],
  ['no image', disk({ chain: [] }), /disks\[0\]\.chain is not a list of 1 to 64 images/],
  ['an id with a comma', disk({ id: 'd0,readonly=off' }), /disks\[0\]\.id is not at most 16/],
  ['a place that the bridge has', disk({ address: '0x0' }), /disks\[0\]\.address is not a place/],
  ['an unknown format', image({ format: 'vmdk' }), /disks\[0\]\.chain\[0\]\.format is not one of raw, /],
  ['a path from somewhere', image({ path: 'disks/d0.raw' }), /chain\[0\]\.path is not an absolute path/],
  ['a path with a way out', image({ path: '/disks/../etc/d0.raw' }), /chain\[0\]\.path is not a path without/],
  ['a path with a line end', image({ path: '/disks/d\n0' }), /chain\[0\]\.path is not a path of UTF-8/],
  ['a path with bytes that are not UTF-8', image({ path: '/disks/\udcff' }), /chain\[0\]\.path is not a path of UTF-8/],
  [
    'a raw image above another one',
    disk({
      chain: [
        { path: '/a', format: 'qcow2' },
        { path: '/b', format: 'raw' },
      ],
    }),
    /disks\[0\]\.chain\[1\]\.format is not a format that can build on/,
  ],
];

test.each(cases)('%s is refused by the name of its field', (_, value, said) => {
  expect(refusal(value)).toMatch(said);
});

test('what two devices share is refused by the names of both', () => {
  const [first] = sampleVm().disks;
  const second = { ...first, id: 'd9', address: '0x9', chain: [{ path: '/other', format: 'raw' }] };
  const both = (change: Fields): string => refusal({ ...sampleVm(), disks: [first, { ...second, ...change }] });
  expect(both({})).toBe('taken');
  expect(both({ id: 'd0' })).toMatch(/disks\[1\]\.id is not another one than disks\[0\]\.id has/);
  expect(both({ address: '0x4' })).toMatch(/disks\[1\]\.address is not another one than disks\[0\]\.address/);
  expect(both({ chain: first?.chain })).toMatch(/disks\[1\]\.chain\[0\]\.path is not another one than/);
});

test('a description that is no JSON, or endless, is refused', () => {
  expect(() => parseVmDescription('{"schema":1', 'vm.json')).toThrow(/vm.json describes no machine: it is not JSON/);
  expect(() => parseVmDescription(`"${'x'.repeat(1024 * 1024)}"`, 'vm.json')).toThrow(/at most 1 MiB/);
  expect(() => parseVmDescription('{"__proto__":{"schema":1}}', 'vm.json')).toThrow(/describes no machine/);
});
