/**
 * The machines of this host. Who may start one is asked and changed under the lock of that machine, so that it never
 * runs twice: a machine that was given away, or is here as a placeholder, is started by its migration alone.
 */
import { constants, existsSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { TransferError } from '../core/errors.js';
import type { DiskCheck } from '../disk/check.js';
import { freeBytes } from '../platform/file-system.js';
import { showPath } from '../platform/path-bytes.js';
import type { Hypervisor, SavedState } from './hypervisor.js';
import type { Ownership, VmDescription, VmDisk, VmStatus } from './vm.js';
import { readVmDescription } from './vm-description.js';
import type { HostFacts, VmHost } from './vm-host.js';
import type { VmRegistry } from './vm-registry.js';

/** A hypervisor of this host. */
export interface LocalHypervisor extends Hypervisor {
  facts(): Promise<HostFacts>;
  /** Of its process, while there is one. */
  pid(id: string): number | undefined;
}

export interface LocalHostParts {
  readonly registry: VmRegistry;
  readonly hypervisor: LocalHypervisor;
  /** Of the images of a disk, from the one that the guest writes to. */
  readonly checkDisk: (path: string, where: { readonly parentFolders: readonly string[] }) => Promise<DiskCheck>;
}

export class LocalHost implements VmHost {
  readonly #parts: LocalHostParts;

  constructor(parts: LocalHostParts) {
    this.#parts = parts;
  }

  facts(): Promise<HostFacts> {
    return this.#parts.hypervisor.facts();
  }

  list(): Promise<readonly VmStatus[]> {
    return Promise.all(this.#parts.registry.ids().map((id) => this.get(id)));
  }

  async get(id: string): Promise<VmStatus> {
    const { registry, hypervisor } = this.#parts;
    const vm = registry.get(id);
    const state = await hypervisor.state(vm);
    const pid = hypervisor.pid(id);
    return { vm, ownership: registry.ownership(id), state, ...(pid !== undefined && { pid }) };
  }

  /** A machine that was not known before, and is off. @throws TransferError E_VM_EXISTS, E_USAGE */
  async add(vm: VmDescription): Promise<void> {
    const checked = readVmDescription(vm, 'the description');
    await this.#locked(vm.id, async () => this.#parts.registry.add(checked, { state: 'here' }));
  }

  /** Forgets a machine that is off; its images stay. @throws TransferError E_VM_STATE */
  async remove(id: string): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, async () => {
      const state = await hypervisor.state(registry.get(id));
      if (state !== 'off') throw wrongState(id, `it is ${state}, and must be off to be forgotten`, 'Stop it first.');
      // Of a start that was cut short there may be a process.
      await hypervisor.stop(registry.get(id));
      registry.remove(id);
    });
  }

  /** @throws TransferError E_VM_STATE for a machine that is not here, or not for everybody */
  async start(id: string, from?: SavedState): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, async () => {
      assertHere(id, registry.ownership(id));
      await hypervisor.start(registry.get(id), from);
    });
  }

  async stop(id: string): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, () => hypervisor.stop(registry.get(id)));
  }

  async check(vm: VmDescription, folders: readonly string[], bytes: number): Promise<readonly string[]> {
    const { machines } = await this.facts();
    const sentences: string[] = [];
    if (!machines.includes(vm.machine)) sentences.push(`This host has no machine of the type ${vm.machine}.`);
    if (vm.accelerator === 'kvm' && !existsSync('/dev/kvm')) sentences.push('This host has no KVM.');
    sentences.push(...this.#strangers(vm.id), ...(await roomFor(folders, bytes)));
    // Of a raw disk there is nothing to be checked, and what its guest wrote must not choose what it is taken for.
    const told = this.#isHere(vm) ? vm.disks.filter(({ chain }) => chain.at(-1)?.format !== 'raw') : [];
    for (const disk of told) sentences.push(...(await this.#whatIsWrong(disk)));
    return sentences;
  }

  async placeholder(vm: VmDescription, migration: string): Promise<void> {
    const { registry } = this.#parts;
    const checked = readVmDescription(vm, 'the description');
    await this.#locked(vm.id, async () => {
      if (registry.has(vm.id)) this.#assertFree(vm.id, migration);
      else registry.add(checked, { state: 'placeholder', migration });
      if (registry.incoming(vm.id)?.taken || this.#isTaken(vm.id, migration)) return;
      registry.setIncoming(vm.id, { migration, vm: checked });
    });
  }

  async removePlaceholder(id: string, migration: string): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, async () => {
      const incoming = registry.has(id) ? registry.incoming(id) : undefined;
      if (incoming?.migration !== migration || incoming.taken) return;
      const { state } = registry.ownership(id);
      // A machine that is here runs as what it was before.
      if (state !== 'here') await hypervisor.stop(registry.get(id));
      if (state === 'placeholder') registry.remove(id);
      else registry.setIncoming(id, undefined);
    });
  }

  async startPlaceholder(vm: VmDescription, migration: string, from?: SavedState): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    const checked = readVmDescription(vm, 'the description');
    await this.#locked(vm.id, async () => {
      if (this.#isTaken(vm.id, migration) && !registry.incoming(vm.id)) return;
      this.#assertComing(vm.id, migration);
      // From here on this is what the machine is, also where its source is this host.
      registry.put(checked);
      registry.setIncoming(vm.id, { migration, vm: checked });
      await hypervisor.start(checked, from);
    });
  }

  async take(id: string, migration: string): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, async () => {
      const incoming = registry.incoming(id);
      if (registry.ownership(id).state === 'here' && incoming === undefined) return;
      if (!incoming?.taken || incoming.migration !== migration) this.#assertComing(id, migration);
      const vm = incoming?.vm ?? registry.get(id);
      // On record before it belongs here: where that is all that was done, the same call goes on from there.
      registry.setIncoming(id, { migration, vm, taken: true });
      registry.put(vm);
      registry.setOwnership(id, { state: 'here', migration });
      // A guest that stood still for a source without room tries once more, here.
      if (['paused', 'io-error'].includes(await hypervisor.state(vm))) await hypervisor.resume(vm);
      registry.setIncoming(id, undefined);
    });
  }

  async give(id: string, migration: string, to: string): Promise<void> {
    const { registry, hypervisor } = this.#parts;
    await this.#locked(id, async () => {
      const ownership = registry.ownership(id);
      if (ownership.state === 'gone' && ownership.migration === migration) return;
      assertHere(id, ownership);
      const state = await hypervisor.state(registry.get(id));
      if (state === 'running' || state === 'io-error') throw wrongState(id, 'its guest runs', 'Save its state first.');
      registry.setOwnership(id, { state: 'gone', migration, to });
      await hypervisor.stop(registry.get(id));
    });
  }

  async ownership(id: string): Promise<Ownership> {
    return this.#parts.registry.ownership(id);
  }

  #locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    return this.#parts.registry.locked(id, work);
  }

  #isHere(vm: VmDescription): boolean {
    const { registry } = this.#parts;
    return registry.has(vm.id) && registry.ownership(vm.id).state === 'here';
  }

  #strangers(id: string): string[] {
    const { registry } = this.#parts;
    if (!registry.has(id)) return [];
    const ownership = registry.ownership(id);
    if (ownership.state === 'here' && registry.incoming(id) === undefined) return [];
    return ownership.state === 'gone' ? [] : [`Another migration has the machine ${id} on this host.`];
  }

  async #whatIsWrong({ id: disk, chain }: VmDisk): Promise<string[]> {
    const parentFolders = [...new Set(chain.map(({ path }) => dirname(path)))];
    try {
      const { images } = await this.#parts.checkDisk(chain.at(-1)?.path ?? '', { parentFolders });
      const wrong = images.flatMap(({ findings }) => findings.filter(({ severity }) => severity === 'wrong'));
      return wrong.map(({ message }) => `Disk ${disk} cannot be trusted: ${message}.`);
    } catch (thrown) {
      return [`Disk ${disk} cannot be read: ${TransferError.from(thrown).message}.`];
    }
  }

  /** By a call whose answer was lost. */
  #isTaken(id: string, migration: string): boolean {
    const ownership = this.#parts.registry.ownership(id);
    return ownership.state === 'here' && ownership.migration === migration;
  }

  /** For a placeholder: it is this migration's, or was given away, or is here and its migration leads to here. */
  #assertFree(id: string, migration: string): void {
    const { registry } = this.#parts;
    const other = registry.incoming(id);
    if (other !== undefined && other.migration !== migration) {
      throw new TransferError('E_VM_EXISTS', `another migration brings the machine ${id} to this host already`, {
        hint: 'Wait for it, or abort it. Nothing was changed.',
      });
    }
  }

  #assertComing(id: string, migration: string): void {
    const { registry } = this.#parts;
    const ownership = registry.ownership(id);
    const mine = registry.incoming(id)?.migration === migration;
    // What was given away is not here, whichever migration took it, and this one brings it back.
    if (
      mine &&
      (ownership.state === 'gone' || (ownership.state === 'placeholder' && ownership.migration === migration))
    )
      return;
    if (mine && ownership.state === 'here') {
      throw wrongState(id, 'this host has not given it away yet, so that it would run twice', 'Switch over first.');
    }
    throw wrongState(id, 'this migration does not bring it to here', 'See who has it: blockferry vm info.');
  }
}

function assertHere(id: string, ownership: Ownership): void {
  if (ownership.state === 'here') return;
  const [why, hint] =
    ownership.state === 'gone'
      ? [`it belongs to ${ownership.to} since the migration ${ownership.migration}`, 'Start it there.']
      : [`only the migration ${ownership.migration} may start it here`, 'Finish or abort that migration.'];
  throw wrongState(id, why, hint);
}

function wrongState(id: string, why: string, next: string): TransferError {
  return new TransferError('E_VM_STATE', `the machine ${id} is left as it is: ${why}`, { hint: next });
}

/** Whether the folders are there and together have so much room. */
async function roomFor(folders: readonly string[], bytes: number): Promise<string[]> {
  const sentences: string[] = [];
  const freeOf = new Map<number, number>();
  for (const folder of folders) {
    try {
      const there = folderAbove(folder);
      await access(there, constants.W_OK | constants.X_OK);
      const { dev } = await stat(`${there}/`);
      freeOf.set(dev, freeBytes(there) ?? Number.POSITIVE_INFINITY);
    } catch (cause) {
      sentences.push(`Nothing can be written to ${showPath(folder)}: ${(cause as Error).message}.`);
    }
  }
  const free = [...freeOf.values()].reduce((sum, one) => sum + one, 0);
  if (freeOf.size > 0 && free < bytes) {
    sentences.push(`${bytes} bytes are needed, and ${folders.map(showPath).join(', ')} has room for ${free}.`);
  }
  return sentences;
}

/** The folder itself, or the next one above it that there is: a migration makes what is missing. */
function folderAbove(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : folderAbove(dirname(folder));
}
