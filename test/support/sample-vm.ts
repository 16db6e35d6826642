/** A machine that no test starts. */
import type { VmDescription } from '../../src/migrate/vm.js';

export function sampleVm(change: Partial<VmDescription> = {}): VmDescription {
  return {
    schema: 1,
    id: '9b0f6f0e-7c1b-4f0e-8a55-0c2f7d1c9a01',
    name: 'mail, the old one',
    machine: 'pc-i440fx-7.2',
    accelerator: 'tcg',
    cpu: 'qemu64',
    cpus: 1,
    memoryBytes: 128 * 1024 * 1024,
    disks: [
      { id: 'd0', sizeBytes: 64 * 1024 * 1024, chain: [{ path: '/disks/d0.raw', format: 'raw' }], address: '0x4' },
    ],
    networks: [{ id: 'n0', mac: '52:54:00:12:34:56', address: '0x10', kind: 'user' }],
    ...change,
  };
}
