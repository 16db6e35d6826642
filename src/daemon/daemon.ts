/**
 * The daemon's shell: roots, identity, threads that serve, and the main thread that holds what they share. One start
 * is an instance; what an earlier one had not flushed is not taken for durable by this one.
 */
import { randomBytes } from 'node:crypto';
import { closeSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { type Clock, systemClock } from '../core/clock.js';
import { errnoOf, TransferError } from '../core/errors.js';
import { newPaceLevel } from '../core/pace-level.js';
import { type Deeds, ThreadLink } from '../core/thread-link.js';
import { makeStateFolder } from '../endpoint/state-folder.js';
import { assertPrivate, writePrivately } from '../platform/private-file.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { givenIdentity, type Identity, ownIdentity } from './certificate.js';
import { Host, type HostForThread, type LeaseNews } from './host.js';
import type { MachinesHere } from './machine-door.js';
import type { PullEngine } from './pulls.js';
import { openRoots, type Root } from './roots.js';
import type { ListenAt, ThreadData } from './serve-thread.js';

export interface DaemonOptions {
  /** Folders that are offered, each as FOLDER or NAME=FOLDER. */
  readonly roots: readonly string[];
  readonly listen: { readonly host: string; readonly port: number };
  /** PEM files; absent: its own, made when there is none. */
  readonly certificate?: { readonly cert: string; readonly key: string };
  /** Of all clients together; 0 or absent: no limit. */
  readonly limitBytesPerSecond?: number;
  readonly threads?: number;
  readonly connectionsMax?: number;
}

export interface DaemonParts {
  /** For what clients do with parts. */
  readonly runner: ChunkRunner;
  /** For what this host copies from others. */
  readonly engine: PullEngine;
  /** Loads what runs machines here, when another host first asks for it; absent: none are offered. */
  readonly machines?: () => Promise<MachinesHere>;
}

/** What the threads may be asked. */
interface ThreadDeeds extends Deeds {
  readonly listen: (at: ListenAt) => { readonly fd: number; readonly port: number };
  readonly tell: (about: LeaseNews) => void;
  readonly close: (nothing: undefined) => void;
}

interface Thread {
  readonly worker: Worker;
  readonly link: ThreadLink<ThreadDeeds>;
}

const THREADS_MAX = 8;
const CONNECTIONS_MAX = 512;
/** Of one address: a client has some for each of its threads, and several may run. */
const ADDRESS_SHARE = 0.5;
const CLOSE_MS_MAX = 5_000;

/** Where tokens, key and certificate are. */
export function daemonFolder(): string {
  return makeStateFolder('serve');
}

/** Node 20 cannot load a worker written in TypeScript, so the built one is used even when this file runs as source. */
function workerFile(): URL {
  const built = import.meta.url.endsWith('.ts')
    ? '../../dist/workers/serve-worker.js'
    : '../../workers/serve-worker.js';
  return new URL(fileURLToPath(new URL(built, import.meta.url)), 'file://');
}

export class Daemon {
  readonly fingerprint: string;
  readonly madeIdentity: boolean;
  readonly roots: readonly Root[];
  /** Rejects when a thread has died, which is a bug. */
  readonly failed: Promise<never>;
  readonly #threads: readonly Thread[];
  readonly #host: Host;
  readonly #clock: Clock;
  #port = 0;

  private constructor(parts: { identity: Identity; roots: readonly Root[]; threads: readonly Thread[]; host: Host }) {
    this.fingerprint = parts.identity.fingerprint;
    this.madeIdentity = parts.identity.made;
    this.roots = parts.roots;
    this.#threads = parts.threads;
    this.#host = parts.host;
    this.#clock = systemClock;
    this.failed = Promise.race(parts.threads.map(({ worker }) => death(worker)));
    this.failed.catch(() => undefined);
  }

  /** Listens when it resolves. @throws TransferError E_USAGE for what cannot be offered, shown or listened on */
  static async start(options: DaemonOptions, { runner, engine, machines }: DaemonParts): Promise<Daemon> {
    const folder = daemonFolder();
    const { certificate, connectionsMax = CONNECTIONS_MAX } = options;
    const identity = certificate
      ? givenIdentity(certificate.cert, certificate.key)
      : ownIdentity(folder, systemClock.wallMs());
    const roots = openRoots(options.roots);
    const count = options.threads ?? Math.min(THREADS_MAX, Math.max(2, availableParallelism()));
    const { cert, key } = identity;
    const [host, instance] = [hostId(folder), randomBytes(8).toString('hex')];
    const data: ThreadData = {
      ...{ cert, key, roots, folder, host, instance },
      connectionsMax: Math.ceil(connectionsMax / count),
      connectionsPerAddressMax: Math.ceil((connectionsMax * ADDRESS_SHARE) / count),
      pace: newPaceLevel(options.limitBytesPerSecond),
    };
    const threads: Thread[] = [];
    const tell = async (thread: number, about: LeaseNews) => threads[thread]?.link.ask('tell', about);
    const shared = new Host({ roots, runner, engine, machines, clock: systemClock, host, instance, tell });
    for (let n = 0; n < count; n++) threads.push(await startThread(data, shared.forThread(n)));
    const daemon = new Daemon({ identity, roots, threads, host: shared });
    void shared.sweep();
    try {
      await daemon.#listen(options.listen);
      return daemon;
    } catch (thrown) {
      await daemon.close();
      throw thrown;
    }
  }

  get port(): number {
    return this.#port;
  }

  /** Ends what is under way; parts stay, and whoever wrote them goes on with the next start. */
  async close(): Promise<void> {
    // A timer that nobody needs any more would keep the process.
    const done = new AbortController();
    const closed = Promise.allSettled(this.#threads.map(({ link }) => link.ask('close', undefined)));
    await Promise.race([closed, this.#clock.sleep(CLOSE_MS_MAX, done.signal)]);
    await Promise.race([this.#host.close(), this.#clock.sleep(CLOSE_MS_MAX, done.signal)]);
    done.abort();
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
    for (const { fd } of this.roots) closeSync(fd);
  }

  /** The first thread opens the address; the others take its descriptor, so that whoever is idle accepts. */
  async #listen(at: { readonly host: string; readonly port: number }): Promise<void> {
    const [first, ...others] = this.#threads;
    try {
      const { fd, port } = (await first?.link.ask('listen', at)) ?? { fd: -1, port: 0 };
      this.#port = port;
      if (fd >= 0) for (const { link } of others) await link.ask('listen', { fd });
    } catch (thrown) {
      const { message } = TransferError.from(thrown);
      const cause = errnoOf(thrown) ?? message.replace(/^unexpected: /, '');
      throw new TransferError('E_USAGE', `cannot listen on ${at.host}:${at.port}: ${cause}`, {
        hint: 'Name a free address of this machine with --listen.',
        cause: thrown,
      });
    }
  }
}

async function startThread(data: ThreadData, host: HostForThread): Promise<Thread> {
  const worker = new Worker(workerFile(), { workerData: data, trackUnmanagedFds: false });
  const ready = new Promise<void>((resolve, reject) => {
    worker.once('error', reject);
    worker.on('message', (message) => {
      if (message === 'ready') resolve();
    });
  });
  const link = new ThreadLink<ThreadDeeds>(worker, host);
  await ready;
  return { worker, link };
}

function death(worker: Worker): Promise<never> {
  return new Promise((_resolve, reject) => {
    worker.once('error', (cause) => reject(TransferError.from(cause)));
    worker.once('exit', () => reject(new TransferError('E_BUG', 'a thread of the daemon has ended')));
  });
}

/** Stays the same over all starts, and with another certificate: marks of parts are known by it. */
function hostId(folder: string): string {
  const path = join(folder, 'host-id');
  const known = assertPrivate(path)?.toString('latin1').trim();
  if (known && /^[0-9a-f]{32}$/.test(known)) return known;
  const made = randomBytes(16).toString('hex');
  writePrivately(path, `${made}\n`);
  return made;
}
