/**
 * What other hosts may do with the machines of this one: bring one here, look, and merge what came with it. A machine
 * that belongs here is never stopped, changed or given away because another host says so, and nor are its images.
 */
import { TransferError } from '../core/errors.js';
import type { MachineCall } from '../core/machine-wire.js';
import type { CallAnswer, CallRequest } from '../core/peer-wire.js';
import type { Hypervisor, MergeProgress } from '../migrate/hypervisor.js';
import type { EndFiles } from '../migrate/migration-end.js';
import type { VmDescription, VmStatus } from '../migrate/vm.js';
import { parseVmDescription } from '../migrate/vm-description.js';
import type { VmHost } from '../migrate/vm-host.js';
import { imagePaths } from '../migrate/vm-paths.js';
import type { VmRegistry } from '../migrate/vm-registry.js';
import { MachinePaths } from './machine-paths.js';
import type { Root } from './roots.js';

/** The machines of this host. */
export interface MachinesHere {
  readonly registry: VmRegistry;
  readonly host: VmHost;
  readonly hypervisor: Pick<Hypervisor, 'merge'>;
  readonly files: Pick<EndFiles, 'stat' | 'digest' | 'repoint' | 'remove'>;
}

export interface MachineAsk {
  readonly call: MachineCall;
  readonly request: unknown;
  /** Names of the roots that the caller may write to. */
  readonly roots: readonly string[];
  /** Of this question; with it, it is taken back. */
  readonly id: string;
}

interface Asked {
  readonly here: MachinesHere;
  readonly paths: MachinePaths;
  /** Nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

type Deeds = {
  readonly [N in MachineCall]: (request: CallRequest<N>, asked: Asked) => Promise<CallAnswer<N>>;
};

export class MachineDoor {
  readonly #roots: readonly Root[];
  readonly #open: (() => Promise<MachinesHere>) | undefined;
  readonly #asked = new Map<string, AbortController>();
  readonly #merges = new Map<string, Map<string, MergeProgress>>();
  readonly #closing = new AbortController();

  /** @param open loads what runs machines, when it is first asked for; absent: this host offers none */
  constructor(roots: readonly Root[], open: (() => Promise<MachinesHere>) | undefined) {
    this.#roots = roots;
    this.#open = open;
  }

  async ask({ call, request, roots, id }: MachineAsk): Promise<unknown> {
    const stop = new AbortController();
    this.#asked.set(id, stop);
    const paths = new MachinePaths(this.#roots.filter(({ name }) => roots.includes(name)));
    try {
      if (!this.#open) throw notOffered();
      const signal = AbortSignal.any([stop.signal, this.#closing.signal]);
      const deed = this.#deeds[call] as (request: unknown, asked: Asked) => Promise<unknown>;
      return await deed(request, { here: await this.#open(), paths, signal });
    } catch (thrown) {
      throw paths.told(thrown);
    } finally {
      this.#asked.delete(id);
    }
  }

  takeBack({ id }: { readonly id: string }): void {
    this.#asked.get(id)?.abort();
  }

  close(): void {
    this.#closing.abort();
  }

  readonly #deeds: Deeds = {
    'vm-facts': async (_request, { here }) => {
      const { hypervisor, machines } = await here.host.facts();
      return { hypervisor, machines };
    },
    'vm-list': async (_request, { here, paths }) => {
      return { ids: here.registry.ids().filter((id) => known(here, id, paths) !== undefined) };
    },
    'vm-get': async ({ id }, { here, paths }) => toldStatus(await here.host.get(assertKnown(here, id, paths)), paths),
    'vm-check': async ({ vm: text, folders, bytes }, { here, paths }) => {
      const vm = arriving(text, paths);
      const sentences = here.registry.has(vm.id) && isHere(here, vm.id) ? [belongsHere(vm)] : [];
      const above = [...new Set(folders.map((folder) => paths.folderAbove(folder)))];
      const found = await here.host.check(vm, above, bytes);
      return { sentences: [...sentences, ...found.map((sentence) => paths.toldText(sentence))] };
    },
    'vm-placeholder': async ({ vm: text, migration }, { here, paths }) => {
      const vm = arriving(text, paths);
      assertUnused(here, vm);
      assertMayCome(here, vm, migration);
      await here.host.placeholder(vm, migration);
      return {};
    },
    'vm-remove-placeholder': async ({ id, migration }, { here, paths }) => {
      if (here.registry.has(id) && !isHere(here, id)) assertKnown(here, id, paths);
      if (here.registry.has(id) && !isHere(here, id)) await here.host.removePlaceholder(id, migration);
      return {};
    },
    'vm-start': async ({ vm: text, migration, from }, { here, paths }) => {
      const vm = arriving(text, paths);
      assertUnused(here, vm);
      assertMayCome(here, vm, migration);
      const state = from && { ...from, path: paths.file(from.path) };
      await here.host.startPlaceholder(vm, migration, state);
      return {};
    },
    'vm-take': async ({ id, migration }, { here, paths }) => {
      await here.host.take(assertKnown(here, id, paths), migration);
      return {};
    },
    'vm-ownership': async ({ id }, { here, paths }) => {
      return { ownership: await here.host.ownership(assertKnown(here, id, paths)) };
    },
    'vm-merge': (request, asked) => this.#merge(request, asked),
    'vm-merge-progress': async ({ id }) => ({ disks: [...(this.#merges.get(id)?.values() ?? [])] }),
    'vm-file': async ({ path }, { here, paths }) => {
      const found = await here.files.stat(paths.file(path));
      return { ...(found && { found }) };
    },
    'vm-file-digest': ({ path, whole }, { here, paths, signal }) => here.files.digest(paths.file(path), whole, signal),
    'vm-repoint': async ({ image, parent }, { here, paths }) => {
      const [child, to] = [paths.file(image), paths.file(parent)];
      assertLeftAlone(here, child);
      await here.files.repoint(child, to);
      return {};
    },
    'vm-make-folder': async ({ path }, { paths }) => {
      paths.makeFolder(path);
      return {};
    },
    'vm-remove-file': async ({ path }, { here, paths }) => {
      const file = paths.file(path);
      assertLeftAlone(here, file);
      await here.files.remove(file);
      return {};
    },
  };

  /** It goes on when its caller is gone, who asks again: the second one waits for the first. */
  async #merge({ vm: text, into }: CallRequest<'vm-merge'>, { here, paths }: Asked): Promise<CallAnswer<'vm-merge'>> {
    const vm = arriving(text, paths);
    assertBrought(here, assertKnown(here, vm.id, paths));
    const disks = into.map(([disk, path]) => ({ disk, into: paths.file(path) }));
    const done = this.#merges.get(vm.id) ?? new Map<string, MergeProgress>();
    this.#merges.set(vm.id, done);
    const progress = (told: MergeProgress): void => void done.set(told.disk, told);
    const merged = await here.hypervisor.merge(vm, disks, progress, this.#closing.signal);
    this.#merges.delete(vm.id);
    return { vm: JSON.stringify(paths.outside(merged) ?? vm) };
  }
}

/** As this host would have it. @throws TransferError E_USAGE, E_AUTH */
function arriving(text: string, paths: MachinePaths): VmDescription {
  return paths.inside(parseVmDescription(text, 'what the other host sent'));
}

function isHere({ registry }: MachinesHere, id: string): boolean {
  return registry.ownership(id).state === 'here';
}

/** As the caller names its files; undefined for one that has files elsewhere, or that there is not. */
function known({ registry }: MachinesHere, id: string, paths: MachinePaths): VmDescription | undefined {
  if (!registry.has(id)) return undefined;
  return paths.outside(registry.incoming(id)?.vm ?? registry.get(id));
}

/** @throws TransferError E_NO_VM */
function assertKnown(here: MachinesHere, id: string, paths: MachinePaths): string {
  if (known(here, id, paths)) return id;
  throw new TransferError('E_NO_VM', `this host knows no machine ${id}, or not in roots of this token`, {
    hint: 'See, at that host: blockferry vm list. Then the roots of the token: blockferry serve token list.',
  });
}

function toldStatus({ vm, ownership, state, pid }: VmStatus, paths: MachinePaths): CallAnswer<'vm-get'> {
  return { vm: JSON.stringify(paths.outside(vm) ?? vm), ownership, state, ...(pid !== undefined && { pid }) };
}

/** A machine that belongs to both hosts would run twice. @throws TransferError E_VM_EXISTS */
function assertMayCome({ registry }: MachinesHere, vm: VmDescription, migration: string): void {
  if (!registry.has(vm.id)) return;
  const ownership = registry.ownership(vm.id);
  if (ownership.state !== 'here' || ownership.migration === migration) return;
  throw new TransferError('E_VM_EXISTS', belongsHere(vm).replace(/\.$/, ''), {
    hint: 'One of the two is a copy: give it another id, or remove it. Nothing was changed.',
  });
}

function belongsHere({ id, name }: VmDescription): string {
  return `A machine ${id} (${name}) belongs to that host already.`;
}

/** @throws TransferError E_VM_STATE for a machine that has always been here, or is not here yet */
function assertBrought({ registry }: MachinesHere, id: string): void {
  const ownership = registry.ownership(id);
  if (ownership.state === 'here' && ownership.migration !== undefined) return;
  throw new TransferError('E_VM_STATE', `no migration has brought the machine ${id} to this host`, {
    hint: 'Its images are merged by whoever runs this host. Nothing was changed.',
  });
}

/** An image of another machine is nobody's but that one's. @throws TransferError E_LOCKED */
function assertUnused({ registry }: MachinesHere, vm: VmDescription): void {
  const wanted = new Set(imagePaths(vm));
  for (const id of registry.ids()) {
    if (id === vm.id || registry.ownership(id).state === 'gone') continue;
    const used = [registry.get(id), registry.incoming(id)?.vm].flatMap((one) => (one ? imagePaths(one) : []));
    const both = used.find((path) => wanted.has(path));
    if (both !== undefined) throw inUse(both, id);
  }
}

/** @throws TransferError E_LOCKED for an image of a machine that belongs here */
function assertLeftAlone(here: MachinesHere, path: string): void {
  for (const id of here.registry.ids()) {
    if (isHere(here, id) && imagePaths(here.registry.get(id)).includes(path)) throw inUse(path, id);
  }
}

function inUse(path: string, id: string): TransferError {
  return new TransferError('E_LOCKED', `${path} is an image of the machine ${id}`, {
    hint: 'Choose another folder. Nothing was changed.',
  });
}

function notOffered(): TransferError {
  return new TransferError('E_USAGE', 'that host runs no machines', {
    hint: 'Machines are moved to a `blockferry serve`.',
  });
}
