/**
 * A guest that writes numbered records to its disks as long as it runs, and remembers in its memory what it was told is
 * written: a lost write, a stale disk or an old memory shows at the next look.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { SavedMemory } from '../../src/migrate/hypervisor.js';
import { topOf } from '../../src/migrate/migration-plan.js';
import { SavedHasher } from '../../src/migrate/saved-digests.js';
import type { VmDescription } from '../../src/migrate/vm.js';
import { brokenLink, readSector, writeSector } from './fake-images.js';

/** Sectors that guests write to; what lies behind them they only have. */
export const GUEST_SECTORS = 48;

interface Memory {
  readonly bootId: string;
  sequence: number;
  /** Of each disk: what stands in which sector. */
  readonly written: Record<string, Record<string, string>>;
}

export class FakeGuest {
  vm: VmDescription;
  state: 'running' | 'paused' | 'saved' = 'running';
  readonly #memory: Memory;

  private constructor(vm: VmDescription, memory: Memory) {
    for (const disk of vm.disks) {
      const broken = brokenLink(disk);
      if (broken !== undefined) throw new Error(`${vm.name} cannot be started: ${broken}`);
    }
    this.vm = vm;
    this.#memory = memory;
  }

  static boot(vm: VmDescription): FakeGuest {
    const written = Object.fromEntries(vm.disks.map((disk) => [disk.id, onDisk(vm, disk.id)]));
    const records = Object.values(written).flatMap((sectors) => Object.values(sectors));
    const sequence = Math.max(0, ...records.map((record) => Number(/record (\d+)/.exec(record)?.[1] ?? 0)));
    return new FakeGuest(vm, { bootId: randomUUID(), sequence, written });
  }

  /** Paused, with the memory that the file holds, whatever that is: nothing is checked here. */
  static load(vm: VmDescription, path: string): FakeGuest {
    const memory = JSON.parse(readFileSync(path, 'utf8').split('\n')[0] ?? '') as Memory;
    const guest = new FakeGuest(vm, memory);
    guest.state = 'paused';
    return guest;
  }

  get bootId(): string {
    return this.#memory.bootId;
  }

  get sequence(): number {
    return this.#memory.sequence;
  }

  /** Writes the next record to each of its disks. */
  tick(): void {
    if (this.state !== 'running') return;
    for (const disk of this.vm.disks) {
      const number = ++this.#memory.sequence;
      const sector = (number * 7 + disk.id.length) % GUEST_SECTORS;
      const record = `record ${number} of ${this.bootId} on ${disk.id}`;
      writeSector(topOf(disk).path, sector, record);
      const written = this.#memory.written[disk.id] ?? {};
      written[sector] = record;
      this.#memory.written[disk.id] = written;
    }
  }

  async save(path: string, memoryBytes: number): Promise<SavedMemory> {
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify(this.#memory)}\n`), randomBytes(memoryBytes)]);
    writeFileSync(path, bytes);
    this.state = 'saved';
    const hasher = new SavedHasher();
    hasher.update(bytes);
    return { path, ...(await hasher.digests()) };
  }

  /** Sentences: what its disks do not hold of what it was told is written. */
  wrong(): string[] {
    return this.vm.disks.flatMap((disk) =>
      Object.entries(this.#memory.written[disk.id] ?? {}).flatMap(([sector, record]) => {
        const found = readSector(topOf(disk).path, Number(sector));
        return found === record ? [] : [`${disk.id} sector ${sector}: "${found}" instead of "${record}"`];
      }),
    );
  }
}

/** What a guest finds when it boots. */
function onDisk({ disks }: VmDescription, id: string): Record<string, string> {
  const disk = disks.find((one) => one.id === id);
  const found: Record<string, string> = {};
  for (let sector = 0; disk && sector < GUEST_SECTORS; sector++) {
    const record = readSector(topOf(disk).path, sector);
    if (record.startsWith('record ')) found[sector] = record;
  }
  return found;
}
