/**
 * What the daemon does to targets, on its main thread: it opens parts, holds their leases, and has the engine's own
 * local end do the rest on threads of the runner, so that a slow storage keeps nobody else waiting.
 */
import { closeSync, lstatSync } from 'node:fs';
import type { Clock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import type { CallAnswer, CallName, CallRequest, Place } from '../core/peer-wire.js';
import type { TargetSite } from '../core/target.js';
import { Turns } from '../core/turns.js';
import { encodePath } from '../platform/path-bytes.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { Delegations, type Lent } from './delegations.js';
import { type Lease, Leases, type LeaseView } from './leases.js';
import { localCommit } from './local-commit.js';
import { type MachineAsk, MachineDoor, type MachinesHere } from './machine-door.js';
import { type PullEngine, Pulls } from './pulls.js';
import { asTold, type Found, findTarget, locationOf, type Root } from './roots.js';
import { siteTold } from './site-told.js';

export interface HostParts {
  readonly roots: readonly Root[];
  readonly runner: ChunkRunner;
  readonly engine: PullEngine;
  /** See {@link MachineDoor}. */
  readonly machines?: (() => Promise<MachinesHere>) | undefined;
  readonly clock: Clock;
  readonly host: string;
  readonly instance: string;
  /** Tells a thread about a lease, and resolves when it knows. */
  readonly tell: (thread: number, about: LeaseNews) => Promise<void>;
}

/** Calls that the serving threads hand on, with the name and the hash of the client's token. */
export type HostCall = Extract<
  CallName,
  | ('locate-target' | 'prepare-target' | 'flush' | 'mark' | 'commit' | 'close-target' | 'finish-commit' | 'discard')
  | ('delegate' | 'pull' | 'pull-news' | 'pull-rate' | 'pull-stop')
>;
type DeedsOf<N extends HostCall> = {
  [C in N]: (request: CallRequest<C>, client: string, token: string) => Promise<CallAnswer<C>>;
};
type PullCall = Extract<HostCall, 'delegate' | 'pull' | 'pull-news' | 'pull-rate' | 'pull-stop'>;
type PullDeeds = DeedsOf<PullCall>;
type HostDeeds = DeedsOf<Exclude<HostCall, PullCall>>;

export interface LeaseNews {
  readonly lease: string;
  readonly what: 'revoked' | 'sealed';
}

/** What a thread may ask. */
export interface HostForThread {
  readonly [deed: string]: (request: never) => unknown;
  readonly call: (asked: HostAsk) => Promise<unknown>;
  readonly lease: (asked: { readonly lease: string; readonly client: string }) => LeaseView;
  readonly delegated: (asked: { readonly hash: string }) => Lent | undefined;
  readonly machine: (asked: MachineAsk) => Promise<unknown>;
  readonly 'machine-take-back': (asked: { readonly id: string }) => void;
}

/** As asked by a thread. */
export interface HostAsk {
  readonly call: HostCall;
  readonly request: unknown;
  readonly client: string;
  /** Hash of its token. */
  readonly token: string;
}

const SWEEP_MS = 60_000;

export class Host {
  readonly #parts: HostParts;
  readonly #leases: Leases;
  readonly #turns = new Turns();
  readonly #delegations: Delegations;
  readonly #pulls: Pulls;
  readonly #door: MachineDoor;
  readonly #closing = new AbortController();

  constructor(parts: HostParts) {
    const { runner, clock, instance } = parts;
    this.#parts = parts;
    this.#delegations = new Delegations(clock);
    this.#pulls = new Pulls({ roots: parts.roots, clock, engine: parts.engine });
    this.#door = new MachineDoor(parts.roots, parts.machines);
    this.#leases = new Leases({
      instance,
      clock,
      revoke: (lease) => this.#tell(lease, 'revoked'),
      close: (ref) => runner.run('close-target', { ref }),
    });
  }

  /** A thread that is stuck on a storage keeps only those waiting whose parts it has. */
  forThread(thread: number): HostForThread {
    return {
      call: ({ call, request, client, token }) => {
        const deeds: DeedsOf<HostCall> = { ...this.#calls, ...this.#pullCalls };
        return (deeds[call] as (...asked: readonly unknown[]) => Promise<unknown>)(request, client, token);
      },
      lease: ({ lease, client }) => {
        const { ref, found, root, size, sealed, threads } = this.#leases.get(lease, client);
        threads.add(thread);
        return { ref, root, client, size, sealed, shown: found.shown };
      },
      delegated: ({ hash }) => this.#delegations.find(hash),
      machine: (asked) => this.#door.ask(asked),
      'machine-take-back': (asked) => this.#door.takeBack(asked),
    };
  }

  /** Ends leases that nobody uses any more, until the host is closed. */
  async sweep(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      await this.#parts.clock.sleep(SWEEP_MS, this.#closing.signal);
      await this.#leases.sweep();
      this.#delegations.sweep();
    }
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#door.close();
    await this.#pulls.close();
    await this.#leases.endAll();
  }

  readonly #calls: HostDeeds = {
    'locate-target': async ({ place, sourceName }) => {
      const found = findTarget(this.#parts.roots, place, sourceName);
      try {
        return { host: this.#parts.host, site: await siteTold(found, await this.#locate(found), this.#parts.runner) };
      } catch (thrown) {
        throw asTold(thrown, found);
      } finally {
        closeSync(found.folder.fd);
      }
    },
    'prepare-target': (request, client) => {
      return this.#turns.take(turnOf(request.place), () => this.#prepare(request, client));
    },
    flush: ({ lease: id, seen }, client) => {
      return this.#underLease(id, client, async (lease) => {
        if (lease.failures > seen) return { failures: lease.failures };
        try {
          await this.#parts.runner.run('flush-target', { ref: lease.ref });
        } catch (thrown) {
          lease.failures++;
          if (TransferError.from(thrown).code !== 'E_FLUSH') throw asTold(thrown, lease.found);
        }
        return { failures: lease.failures };
      });
    },
    mark: ({ lease: id, times }, client) => {
      return this.#underLease(id, client, async (lease) => {
        await this.#seal(lease);
        return this.#told(lease.found, () => {
          return this.#parts.runner.run('mark-target', { ref: lease.ref, ...(times && { times }) });
        });
      });
    },
    commit: ({ lease: id, commit }, client) => {
      return this.#underLease(id, client, async (lease) => {
        if (lease.committed) return { sentences: lease.committed };
        await this.#seal(lease);
        const { request, sentences } = localCommit(commit);
        const kept = await this.#told(lease.found, () => {
          return this.#parts.runner.run('commit-target', { ref: lease.ref, request });
        });
        lease.committed = [...sentences, ...kept];
        return { sentences: lease.committed };
      });
    },
    'close-target': ({ lease: id }, client) => {
      return this.#underLease(id, client, async (lease) => {
        await this.#leases.end(lease);
        return {};
      });
    },
    'finish-commit': ({ place, part, commit }) => {
      return this.#at(place, async (found, { ref }) => {
        const { request } = localCommit(commit);
        const whole = await this.#parts.runner.run('finish-commit', { ref, part, request });
        if (whole) await this.#leases.endAt(found.shown);
        return { whole };
      });
    },
    discard: ({ place }) => {
      return this.#at(place, async (found, site) => {
        assertNotLocal(found, site);
        await this.#leases.endAt(found.shown);
        await this.#parts.runner.run('discard-partial', { ref: site.ref });
        return {};
      });
    },
  };

  readonly #pullCalls: PullDeeds = {
    delegate: async (place, _client, token) => ({ token: this.#delegations.lend(place, token) }),
    pull: async (request, client) => ({ pull: await this.#pulls.start(request, client) }),
    'pull-news': ({ pull, after }, client) => this.#pulls.news(pull, after, client),
    'pull-rate': async ({ pull, rateBytesPerSecond }, client) => this.#pulls.setRate(pull, client, rateBytesPerSecond),
    'pull-stop': async ({ pull }, client) => this.#pulls.stop(pull, client),
  };

  /** Opening it again ends the lease of whoever had it open: a run that was killed, most of the time. */
  async #prepare(request: CallRequest<'prepare-target'>, client: string): Promise<CallAnswer<'prepare-target'>> {
    const { place, size, partial, sync, committed } = request;
    this.#leases.assertRoom(client);
    const found = findTarget(this.#parts.roots, place, undefined);
    try {
      const site = await this.#locate(found);
      assertNotLocal(found, site);
      if (partial === 'reopen') await this.#leases.endAt(found.shown);
      const prepared = await this.#parts.runner.run('prepare-target', {
        ref: site.ref,
        request: { size, partial, sync, ...(committed && { committed }) },
      });
      const { ref, identity, zeroed } = prepared;
      const lease = this.#leases.add({ found, site: site.ref, ref, root: place.root, client, size });
      return { lease: lease.id, identity, zeroed, readsPastCache: await this.#readsPastCache(ref) };
    } catch (thrown) {
      const told = asTold(thrown, found);
      closeSync(found.folder.fd);
      throw told;
    }
  }

  #readsPastCache(ref: Lease['ref']): Promise<boolean> {
    return this.#parts.runner.run('reads-past-cache', { ref });
  }

  #at<T>(place: Place, work: (found: Found, site: TargetSite) => Promise<T>): Promise<T> {
    return this.#turns.take(turnOf(place), () => this.#inPlace(place, work));
  }

  /** A lease ends, and its descriptor is closed, only between two of these: a commit that is asked for twice is one. */
  #underLease<T>(id: string, client: string, work: (lease: Lease) => Promise<T>): Promise<T> {
    const { shown } = this.#leases.get(id, client).found;
    return this.#turns.take(shown, () => work(this.#leases.get(id, client)));
  }

  async #inPlace<T>(place: Place, work: (found: Found, site: TargetSite) => Promise<T>): Promise<T> {
    const found = findTarget(this.#parts.roots, place, undefined);
    try {
      return await work(found, await this.#locate(found));
    } catch (thrown) {
      throw asTold(thrown, found);
    } finally {
      closeSync(found.folder.fd);
    }
  }

  #locate(found: Found): Promise<TargetSite> {
    return this.#parts.runner.run('locate-target', { location: locationOf(found), sourceName: '' });
  }

  async #told<T>(found: Found, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      throw asTold(thrown, found);
    }
  }

  /** What is still on its way to a part that is whole must not change it. */
  async #seal(lease: Lease): Promise<void> {
    lease.sealed = true;
    await this.#tell(lease, 'sealed');
  }

  async #tell({ id, threads }: Lease, what: LeaseNews['what']): Promise<void> {
    await Promise.all([...threads].map((thread) => this.#parts.tell(thread, { lease: id, what })));
  }
}

/** As {@link Found} shows it. */
function turnOf({ root, path }: Place): string {
  return `${root}/${path.replace(/\/$/, '')}`;
}

/** A copy that runs on this host has its journal beside its part, and nobody else may touch that. */
function assertNotLocal({ shown }: Found, { journalPath }: TargetSite): void {
  if (lstatSync(encodePath(journalPath), { throwIfNoEntry: false }) === undefined) return;
  throw new TransferError('E_PART_FOREIGN', `${shown}: a copy that was made on that host has its partial data there`, {
    hint: 'Finish or discard it on that host, or choose another target.',
  });
}
