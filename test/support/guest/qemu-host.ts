/** A host with QEMU for a test: its state in a scratch folder, and machines whose guest notices. All ends with it. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRunner } from '../../../src/compose.js';
import { systemClock } from '../../../src/core/clock.js';
import { QemuHost } from '../../../src/migrate/qemu-host.js';
import type { DiskFormat, ImageFile, VmDescription } from '../../../src/migrate/vm.js';
import { runTool } from '../disk-tools.js';
import { type BuiltGuest, type DiskContent, Guest, scanDisk } from './noticing-guest.js';

const MIB = 1024 * 1024;
const MEMORY_BYTES = 96 * MIB;

/** How qemu-img makes each. */
const MAKE: Readonly<Record<DiskFormat, readonly string[]>> = {
  raw: ['-f', 'raw'],
  'vhd-fixed': ['-f', 'vpc', '-o', 'subformat=fixed,force_size=on'],
  'vhd-dynamic': ['-f', 'vpc', '-o', 'subformat=dynamic,force_size=on'],
  vhdx: ['-f', 'vhdx'],
  qcow2: ['-f', 'qcow2'],
};

/** Of a disk, the base first; overlays are qcow2. */
export type ChainFormats = readonly [DiskFormat, ...'qcow2'[]];

export class TestHost extends QemuHost {
  readonly folder: string;

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'qemu-host-'));
    super({ stateFolder: join(folder, 'state'), newRunner: createRunner, clock: systemClock, random: Math.random });
    this.folder = folder;
  }

  /** New, empty disks; nothing is started. */
  async machine(built: BuiltGuest, chains: readonly ChainFormats[], diskBytes = 8 * MIB): Promise<VmDescription> {
    const id = randomUUID();
    const folder = this.place(id);
    const disks = chains.map((formats, n) => {
      const chain = formats.map((format, at): ImageFile => ({ path: join(folder, `d${n}-${at}.${format}`), format }));
      chain.forEach(({ path, format }, at) => {
        const below = chain[at - 1];
        const backing = below ? ['-F', below.format === 'vhd-dynamic' ? 'vpc' : below.format, '-b', below.path] : [];
        runTool('qemu-img', ['create', '-q', ...MAKE[format], ...backing, path, `${diskBytes}`]);
      });
      return { id: `d${n}`, sizeBytes: diskBytes, chain, address: `0x${4 + n}` };
    });
    const vm: VmDescription = {
      ...{ schema: 1, id, name: `noticing, ${chains.length} disks`, machine: 'pc-i440fx-7.2', accelerator: 'tcg' },
      ...{ cpu: 'qemu64', cpus: 1, memoryBytes: MEMORY_BYTES, disks, networks: [] },
      kernel: {
        ...{ image: built.kernel, initrd: built.initrd },
        append: 'console=ttyS0 quiet panic=-1 tsc=unstable',
      },
      consoleLog: join(folder, 'console, of the guest.log'),
    };
    await this.vms.add(vm);
    return vm;
  }

  /** A folder for files of a test. */
  place(name: string): string {
    const folder = join(this.folder, name);
    mkdirSync(folder, { recursive: true });
    return folder;
  }

  guest(vm: VmDescription): Guest {
    return new Guest(vm.consoleLog ?? '', join(this.registry.folderOf(vm.id), 'console.sock'));
  }

  /** What the disks of a machine that is off hold. */
  scan(built: BuiltGuest, { disks }: VmDescription): readonly DiskContent[] {
    return disks.map(({ chain }, n) => {
      const raw = join(this.folder, `scan-${n}.raw`);
      const { path, format } = chain.at(-1) as ImageFile;
      const name = format.startsWith('vhd-') ? 'vpc' : format;
      runTool('qemu-img', ['convert', '-f', name, '-O', 'raw', path, raw]);
      return scanDisk(built, raw, n);
    });
  }

  override async close(): Promise<void> {
    for (const id of this.registry.ids()) await this.hypervisor.stop(this.registry.get(id));
    await super.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
