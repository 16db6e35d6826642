/** A machine that is off, in a scratch folder of the test, with its exports: real images, and no hypervisor. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { type Machines, openMachines } from '../../src/index.js';
import { type ExportManifest, MANIFEST } from '../../src/migrate/export-manifest.js';
import { canonicalBytes } from '../../src/migrate/receipt.js';
import type { VmDescription } from '../../src/migrate/vm.js';

export const MIB = 1024 * 1024;
export const ID = '5f0c1a2b-7d31-4c06-9a55-b10cfe221900';

export interface ExportScene {
  readonly machines: Machines;
  /** A path in the folder of the test. */
  at(...names: readonly string[]): string;
  /** Two raw disks, the second of which shares nothing with the first. */
  machine(change?: Partial<VmDescription>): Promise<VmDescription>;
  exported(name?: string): Promise<{ readonly manifest: ExportManifest }>;
  /** The files before something that is refused are those after it. */
  refused(code: string, message: RegExp, work: () => Promise<unknown>): Promise<void>;
  /** Changes what an export says of itself, so that it agrees with itself again. */
  rewrite(name: string, change: (manifest: Record<string, unknown>) => void): void;
  close(): void;
}

export async function exportScene(): Promise<ExportScene> {
  const folder = mkdtempSync(join(tmpdir(), 'export-'));
  const at = (...names: readonly string[]): string => join(folder, ...names);
  const machines = await openMachines({ state: at('state') });
  const files = () =>
    readdirSync(folder, { recursive: true })
      .filter((name) => !`${name}`.endsWith('.lock'))
      .sort();
  return {
    ...{ machines, at },
    machine: async (change = {}) => {
      mkdirSync(at('vms'), { recursive: true });
      const vm = described(at('vms'), change);
      await machines.host.add(vm);
      return vm;
    },
    exported: (name = 'out') => machines.exportVm({ vm: ID, folder: at(name), what: 'data' }),
    refused: async (code, message, work) => {
      const before = files();
      await expect(work()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
      expect(files()).toEqual(before);
    },
    rewrite: (name, change) => {
      const path = at(name, MANIFEST);
      const { sha256: _, ...content } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
      change(content);
      const digest = createHash('sha256').update(canonicalBytes(content)).digest('hex');
      writeFileSync(path, JSON.stringify({ ...content, sha256: digest }));
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function described(folder: string, change: Partial<VmDescription>): VmDescription {
  const disks = ['d0', 'd1'].map((id, n) => {
    const path = join(folder, `${id}.img`);
    const content = Buffer.alloc(2 * MIB);
    content.write(`the ${id} of the machine`, n * MIB + 4096);
    writeFileSync(path, content);
    return { id, sizeBytes: 2 * MIB, address: `0x${4 + n}`, chain: [{ path, format: 'raw' as const }] };
  });
  return {
    ...{ schema: 1, id: ID, name: 'web', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
    ...{ memoryBytes: 64 * MIB, disks, networks: [], ...change },
  };
}
