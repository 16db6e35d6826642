/**
 * What this host knows of its machines: a folder for each in the state folder, for its user alone. `vm.json` is what
 * the machine is, `owner.json` who may start it, `incoming.json` what it will be when a migration to here is over,
 * `runtime.json` the process that it runs in, `merged.json` images that it does without, and `begun.json` overlays that
 * are being made. A file is replaced as a whole, and is durable before a call returns.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { closeSync, constants, mkdirSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { Turns } from '../core/turns.js';
import { lockDescriptor } from '../platform/lock.js';
import { assertPrivate, writePrivately } from '../platform/private-file.js';
import { syncFolder } from '../platform/publish.js';
import type { SavedMemory } from './hypervisor.js';
import type { ImageFile, Ownership, VmDescription } from './vm.js';
import { parseVmDescription } from './vm-description.js';

const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Of a folder that is going: it is no machine any more. */
const GOING = '.going';

/** The process of a machine. */
export interface VmRuntime {
  /** `starting`: its guest has not run yet, so that a start that was cut short may be begun anew. */
  readonly phase: 'starting' | 'up';
  /** Of which start of this host: numbers of processes mean nothing after another one. */
  readonly bootId: string;
  /** Absent: it was about to be made. */
  readonly process?: { readonly pid: number; readonly startTicks: string };
  /** The guest stands still for a moment because of a merge, and goes on after it. */
  readonly pausedBy?: 'merge';
  /** Where its state is being saved, or was: what stands there is ours to replace. */
  readonly savingTo?: string;
  /** What the last save wrote, for as long as the guest has not gone on. */
  readonly saved?: SavedMemory;
}

/** A machine that will be here when its migration is over. */
export interface IncomingVm {
  readonly migration: string;
  readonly vm: VmDescription;
  /** It is here, and was about to run. */
  readonly taken?: true;
}

export type MergedAway = Readonly<Record<string, readonly ImageFile[]>>;

export class VmRegistry {
  readonly #folder: string;
  readonly #turns = new Turns();
  readonly #holding = new AsyncLocalStorage<{ readonly id: string; readonly held: boolean }>();

  /** @param stateFolder of the service or the user */
  constructor(stateFolder: string) {
    this.#folder = join(stateFolder, 'vms');
  }

  /** Of one machine: its files, and the sockets of its process. @throws TransferError E_USAGE for no id */
  folderOf(id: string): string {
    if (ID.test(id)) return join(this.#folder, id);
    throw new TransferError('E_USAGE', 'the id of a machine is a UUID in small letters', { hint: 'See: vm list' });
  }

  ids(): readonly string[] {
    try {
      return readdirSync(this.#folder).filter((name) => ID.test(name) && this.has(name));
    } catch (thrown) {
      if (errnoOf(thrown) === 'ENOENT') return [];
      throw thrown;
    }
  }

  has(id: string): boolean {
    return this.#read(id, 'owner.json') !== undefined;
  }

  /** @throws TransferError E_NO_VM */
  get(id: string): VmDescription {
    const text = this.has(id) ? this.#read(id, 'vm.json') : undefined;
    if (text === undefined) throw noSuch(id);
    return parseVmDescription(text, join(this.folderOf(id), 'vm.json'));
  }

  /** A machine that was not known before. @throws TransferError E_VM_EXISTS */
  add(vm: VmDescription, ownership: Ownership): void {
    if (this.has(vm.id)) {
      throw new TransferError('E_VM_EXISTS', `this host has a machine ${vm.id} already: ${this.get(vm.id).name}`, {
        hint: 'Give the new one another id, or remove the one that is there. Nothing was changed.',
      });
    }
    mkdirSync(this.folderOf(vm.id), { recursive: true, mode: 0o700 });
    syncFolder(this.#folder);
    this.put(vm);
    // Only now is it a machine.
    this.setOwnership(vm.id, ownership);
  }

  /** What the machine is from now on. */
  put(vm: VmDescription): void {
    this.#write(vm.id, 'vm.json', vm);
  }

  /** Its images stay. The machine is gone at once, or not at all. */
  remove(id: string): void {
    const folder = this.folderOf(id);
    rmSync(`${folder}${GOING}`, { recursive: true, force: true });
    renameSync(folder, `${folder}${GOING}`);
    syncFolder(this.#folder);
    rmSync(`${folder}${GOING}`, { recursive: true, force: true });
  }

  /** @throws TransferError E_NO_VM */
  ownership(id: string): Ownership {
    const text = this.#read(id, 'owner.json');
    if (text === undefined) throw noSuch(id);
    return json<{ ownership: Ownership }>(text, join(this.folderOf(id), 'owner.json')).ownership;
  }

  setOwnership(id: string, ownership: Ownership): void {
    this.#write(id, 'owner.json', { schema: 1, ownership });
  }

  incoming(id: string): IncomingVm | undefined {
    return this.#optional(id, 'incoming.json');
  }

  setIncoming(id: string, incoming: IncomingVm | undefined): void {
    this.#put(id, 'incoming.json', incoming);
  }

  /**
   * Images that are merged, by their disks, and about to be removed. What a description still has is none of them: they
   * are written down before it changes.
   */
  mergedAway(id: string): MergedAway {
    const merged = this.#optional<MergedAway>(id, 'merged.json');
    if (!merged) return {};
    const kept = new Set(this.get(id).disks.flatMap(({ chain }) => chain.map(({ path }) => path)));
    const gone = Object.entries(merged).map(([disk, images]) => [disk, images.filter(({ path }) => !kept.has(path))]);
    return Object.fromEntries(gone.filter(([, images]) => (images?.length ?? 0) > 0));
  }

  setMergedAway(id: string, merged: MergedAway): void {
    this.#put(id, 'merged.json', Object.keys(merged).length > 0 ? merged : undefined);
  }

  /** Overlays of a snapshot that is about to be made: what stands there is ours to replace. */
  overlaysBegun(id: string): readonly string[] {
    return this.#optional<readonly string[]>(id, 'begun.json') ?? [];
  }

  setOverlaysBegun(id: string, paths: readonly string[]): void {
    this.#put(id, 'begun.json', paths.length > 0 ? paths : undefined);
  }

  runtime(id: string): VmRuntime | undefined {
    return this.#optional(id, 'runtime.json');
  }

  setRuntime(id: string, runtime: VmRuntime | undefined): void {
    this.#put(id, 'runtime.json', runtime);
  }

  /**
   * One at a time for each machine: callers of this process wait for each other, and another process is refused. Work
   * inside of work for the same machine goes straight on. @throws TransferError E_LOCKED
   */
  locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    const outer = this.#holding.getStore();
    if (outer?.id === id && outer.held) return work();
    return this.#turns.take(id, () => this.#withLock(id, work));
  }

  async #withLock<T>(id: string, work: () => Promise<T>): Promise<T> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    // Beside the folder, since that may come and go while the lock is held.
    const fd = openSync(`${this.folderOf(id)}.lock`, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    const hold = { id, held: true };
    try {
      const lock = await lockDescriptor(fd);
      if (lock === 'busy') {
        throw new TransferError('E_LOCKED', `another process is at work on the machine ${id}`, {
          hint: 'Wait until it is done, or ask the service that runs. Nothing was changed.',
        });
      }
      return await this.#holding.run(hold, work);
    } finally {
      hold.held = false;
      closeSync(fd);
    }
  }

  #optional<T>(id: string, name: string): T | undefined {
    const text = this.#read(id, name);
    return text === undefined ? undefined : json<T>(text, join(this.folderOf(id), name));
  }

  #put(id: string, name: string, value: object | undefined): void {
    if (value === undefined) {
      rmSync(join(this.folderOf(id), name), { force: true });
      syncFolder(this.folderOf(id));
    } else this.#write(id, name, value);
  }

  #read(id: string, name: string): string | undefined {
    return assertPrivate(join(this.folderOf(id), name))?.toString('utf8');
  }

  #write(id: string, name: string, value: object): void {
    const folder = this.folderOf(id);
    writePrivately(join(folder, name), `${JSON.stringify(value, undefined, 2)}\n`);
    syncFolder(folder);
  }
}

function json<T>(text: string, path: string): T {
  try {
    return JSON.parse(text) as T;
  } catch (cause) {
    throw new TransferError('E_STORE', `${path} is damaged: it is no JSON`, {
      hint: 'Restore it from a backup. The images of the machine were not touched.',
      cause,
    });
  }
}

function noSuch(id: string): TransferError {
  return new TransferError('E_NO_VM', `this host knows no machine ${id}`, { hint: 'See: blockferry vm list' });
}
