import { expect, test } from 'vitest';
import { argumentsOf } from '../../../src/migrate/qemu/argv.js';
import { assertUnderstood } from '../../../src/migrate/qemu/nodes.js';
import type { DiskFormat } from '../../../src/migrate/vm.js';
import { readVmDescription } from '../../../src/migrate/vm-description.js';
import { sampleVm } from '../../support/sample-vm.js';

const start = { fixedBytes: new Map([['/disks/base.vhd', 1024 * 1024]]), incoming: false };
const disk = (...formats: readonly DiskFormat[]) => {
  const chain = formats.map((format, at) => ({ path: at === 0 ? '/disks/base.vhd' : `/disks/o,${at}.qcow2`, format }));
  return sampleVm({ disks: [{ id: 'd0', sizeBytes: 1024 * 1024, chain, address: '0x4' }] });
};
/** The values of an option, in order. */
const valuesOf = (args: readonly string[], option: string): string[] =>
  args.flatMap((arg, at) => (arg === option ? [args[at + 1] ?? ''] : []));

test('commas of names stay names', () => {
  const vm = readVmDescription({ ...sampleVm(), consoleLog: '/logs/a,logappend=off' }, 'it');
  const args = argumentsOf(vm, start);
  expect(valuesOf(args, '-name')).toEqual(['guest=mail,, the old one']);
  expect(valuesOf(args, '-chardev')[0]).toContain('logfile=/logs/a,,logappend=off,logappend=on');
});

test('a fixed VHD is read without its footer, and only the top of a chain is written to', () => {
  const nodes = valuesOf(argumentsOf(disk('vhd-fixed', 'qcow2', 'qcow2'), start), '-blockdev').map((one) =>
    JSON.parse(one),
  );
  expect(nodes.map((node) => node['node-name'])).toEqual([
    ...['d0-0-file', 'd0-0', 'd0-1-file', 'd0-1', 'd0-2-file', 'd0-2'],
  ]);
  expect(nodes[1]).toEqual({
    driver: 'raw',
    'node-name': 'd0-0',
    file: 'd0-0-file',
    'read-only': true,
    size: 1024 * 1024,
  });
  expect(nodes[3]).toMatchObject({ driver: 'qcow2', backing: 'd0-0', 'read-only': true });
  expect(nodes[5]).toEqual({ driver: 'qcow2', 'node-name': 'd0-2', file: 'd0-2-file', backing: 'd0-1' });
  // A file that is read-only for good could not be merged into.
  expect(nodes.filter((node) => node.driver === 'file').every((node) => node['read-only'] === undefined)).toBe(true);
});

test('its devices are where they are described, and its guest does not run by itself', () => {
  const args = argumentsOf(sampleVm(), { ...start, incoming: true });
  expect(valuesOf(args, '-device')).toEqual([
    'virtio-blk-pci,drive=d0-0,id=d0,bus=pci.0,addr=0x4',
    'virtio-net-pci,id=n0,mac=52:54:00:12:34:56,bus=pci.0,addr=0x10,romfile=,netdev=n0-net',
  ]);
  expect(args).toContain('-S');
  expect(valuesOf(args, '-incoming')).toEqual(['defer']);
  expect(argumentsOf(sampleVm({ machine: 'pc-q35-7.2' }), start).join(' ')).toContain('bus=pcie.0,addr=0x4');
});

test.each<DiskFormat>(['vhd-dynamic', 'vhdx'])(
  'a differencing %s is refused by name, since QEMU reads zeroes',
  (format) => {
    expect(() => assertUnderstood(disk(format))).not.toThrow();
    expect(() => assertUnderstood(disk(format, format))).toThrow(/d0 needs .disks.o,1.qcow2, a differencing/);
  },
);
