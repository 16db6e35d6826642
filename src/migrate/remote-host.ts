/**
 * Another host as the target of a migration, over its `blockferry serve`. It knows files as `/ROOT/path`; where its
 * roots lie is its own business, and what it is told it checks itself. Nothing here takes a machine away from it: a
 * machine is moved by the host that has it.
 */
import type { Clock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { MachineCall } from '../core/machine-wire.js';
import type { CallAnswer, CallRequest } from '../core/peer-wire.js';
import { NEVER } from '../core/stop.js';
import type { Hypervisor, MergeProgress, SavedState } from './hypervisor.js';
import type { EndFiles, FileDigest, MigrationEnd } from './migration-end.js';
import type { Ownership, VmDescription, VmStatus } from './vm.js';
import { parseVmDescription } from './vm-description.js';
import type { HostFacts, VmHost } from './vm-host.js';

/** One exchange with that host, tried once. */
export type AskPeer = <N extends MachineCall>(
  call: N,
  request: CallRequest<N>,
  signal: AbortSignal,
) => Promise<CallAnswer<N>>;

export interface RemoteParts {
  /** `peer://host:port` */
  readonly name: string;
  readonly ask: AskPeer;
  readonly clock: Clock;
}

/** What reads much, or loads a memory, takes as long as it takes: the host says all the while that it goes on. */
const LONG: readonly MachineCall[] = ['vm-file-digest', 'vm-merge', 'vm-start', 'vm-take', 'vm-check', 'vm-repoint'];
const ANSWER_MS_MAX = 10_000;
/** Together with the waits below, a cable that is out for some seconds is waited for. */
const AGAIN_MS = [200, 500, 1000, 2000, 4000];
const LOOK_MS = 1000;

/** A host that cannot do it, since it is not where the machine comes from. */
type AtSource = 'snapshot' | 'saveState' | 'discardState' | 'stop' | 'pause' | 'start' | 'resume' | 'memoryInUse';

export function remoteEnd(parts: RemoteParts): MigrationEnd {
  const link = new Link(parts);
  return { name: parts.name, host: remoteHost(link), hypervisor: remoteHypervisor(link), files: remoteFiles(link) };
}

/** Calls, each asked again when its answer was lost. */
class Link {
  readonly name: string;
  readonly clock: Clock;
  readonly #ask: AskPeer;

  constructor({ name, ask, clock }: RemoteParts) {
    this.name = name;
    this.clock = clock;
    this.#ask = ask;
  }

  async call<N extends MachineCall>(call: N, request: CallRequest<N>, signal = NEVER): Promise<CallAnswer<N>> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.#once(call, request, signal);
      } catch (thrown) {
        const waitMs = AGAIN_MS[tries];
        const passes = thrown instanceof TransferError && thrown.retryable;
        if (!passes || waitMs === undefined || signal.aborted) throw thrown;
        await this.clock.sleep(waitMs, signal);
      }
    }
  }

  async #once<N extends MachineCall>(call: N, request: CallRequest<N>, signal: AbortSignal): Promise<CallAnswer<N>> {
    if (LONG.includes(call)) return this.#ask(call, request, signal);
    const [late, answered] = [new AbortController(), new AbortController()];
    void this.clock.sleep(ANSWER_MS_MAX, answered.signal).then(() => late.abort());
    try {
      return await this.#ask(call, request, AbortSignal.any([signal, late.signal]));
    } catch (thrown) {
      if (!late.signal.aborted || signal.aborted) throw thrown;
      throw new TransferError('E_TIMEOUT', `${this.name} does not answer`, {
        hint: 'Check the network, and that `blockferry serve` runs there. The machine belongs to whom it belonged to.',
        cause: thrown,
      });
    } finally {
      answered.abort();
    }
  }

  /** What it says of a machine is checked as if a stranger had said it. */
  read(text: string): VmDescription {
    return parseVmDescription(text, this.name);
  }

  refused(what: string): TransferError {
    return new TransferError('E_USAGE', `${this.name} is another host, and ${what}`, {
      hint: 'Start the migration at the host that has the machine. Nothing was changed.',
    });
  }
}

function remoteHost(link: Link): VmHost {
  const get = async (id: string): Promise<VmStatus> => {
    const { vm, ownership, ...rest } = await link.call('vm-get', { id });
    return { vm: link.read(vm), ownership: ownership as Ownership, ...rest };
  };
  return {
    get,
    facts: async (): Promise<HostFacts> => ({ peer: link.name, ...(await link.call('vm-facts', {})) }),
    list: async () => Promise.all((await link.call('vm-list', {})).ids.map(get)),
    check: async (vm, folders, bytes) =>
      (await link.call('vm-check', { vm: JSON.stringify(vm), folders, bytes })).sentences,
    placeholder: async (vm, migration) => {
      await link.call('vm-placeholder', { vm: JSON.stringify(vm), migration });
    },
    removePlaceholder: async (id, migration) => {
      await link.call('vm-remove-placeholder', { id, migration });
    },
    startPlaceholder: async (vm: VmDescription, migration: string, from?: SavedState) => {
      await link.call('vm-start', { vm: JSON.stringify(vm), migration, ...(from && { from }) });
    },
    take: async (id, migration) => {
      await link.call('vm-take', { id, migration });
    },
    give: async () => {
      throw link.refused('gives no machine away because we say so');
    },
    ownership: async (id) => (await link.call('vm-ownership', { id })).ownership as Ownership,
  };
}

function remoteHypervisor(link: Link): Hypervisor {
  const atSource = async (): Promise<never> => {
    throw link.refused('only merges what came from here');
  };
  const others: Record<AtSource, () => Promise<never>> = {
    ...{ snapshot: atSource, saveState: atSource, discardState: atSource, stop: atSource },
    ...{ pause: atSource, start: atSource, resume: atSource, memoryInUse: atSource },
  };
  return {
    ...others,
    state: async ({ id }) => (await link.call('vm-get', { id })).state,
    merge: async (vm, disks, progress, signal) => {
      const over = new AbortController();
      const looking = lookAtMerge(link, vm.id, progress, over.signal);
      try {
        const into = disks.map(({ disk, into: image }) => [disk, image] as const);
        const merged = await link.call('vm-merge', { vm: JSON.stringify(vm), into }, signal);
        return link.read(merged.vm);
      } finally {
        over.abort();
        await looking;
      }
    },
  };
}

/** Whether it is told does not matter to the merge. */
async function lookAtMerge(
  link: Link,
  id: string,
  progress: (progress: MergeProgress) => void,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    await link.clock.sleep(LOOK_MS, signal);
    if (signal.aborted) return;
    try {
      const { disks } = await link.call('vm-merge-progress', { id }, signal);
      if (!signal.aborted) for (const disk of disks) progress(disk);
    } catch {
      // The merge itself says what is wrong.
    }
  }
}

function remoteFiles(link: Link): EndFiles {
  return {
    location: (path) => `${link.name}${path.split('/').map(encodeURIComponent).join('/')}`,
    stat: async (path) => (await link.call('vm-file', { path })).found,
    digest: (path, whole, signal): Promise<FileDigest> => link.call('vm-file-digest', { path, whole }, signal),
    repoint: async (image, parent) => {
      await link.call('vm-repoint', { image, parent });
    },
    makeFolder: async (path) => {
      await link.call('vm-make-folder', { path });
    },
    remove: async (path) => {
      await link.call('vm-remove-file', { path });
    },
  };
}
