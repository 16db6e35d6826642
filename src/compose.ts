/**
 * The only file that picks concrete parts: which endpoints there are, which files, which clock, which runner. It loads
 * them when they are asked for: a thread needs the ends, the command needs the runner, and a local copy needs no
 * network.
 */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Location } from './core/endpoint.js';
import type { PeerAddress, Place } from './core/peer-wire.js';
import type { EndpointScheme, Registry } from './endpoint/registry.js';
import type { AskPeer } from './migrate/remote-host.js';
import type { ServiceParts } from './service/service-parts.js';
import type { ChunkRunner } from './transfer/chunk-runner.js';
import type { Gate } from './transfer/gate.js';
import type { PerformerParts } from './transfer/perform.js';

interface PulledFrom {
  readonly address: PeerAddress;
  readonly place: Place;
}

/** Servers are asked over so many connections, divided among the threads. */
function httpAmong(threads: number): () => Promise<EndpointScheme> {
  return async () => {
    const { openHttpSource, attachHttpSource } = await import('./endpoint/http.js');
    const { httpTargets } = await import('./endpoint/http-put.js');
    return {
      openSource: (location) => openHttpSource(location, { threads }),
      attachSource: (ref) => attachHttpSource(ref, { threads }),
      ...httpTargets(threads),
    };
  };
}

async function s3(): Promise<EndpointScheme> {
  return (await import('./endpoint/s3.js')).s3Scheme();
}

async function local(): Promise<EndpointScheme> {
  const [{ localScheme }, { realFiles }] = [
    await import('./endpoint/local.js'),
    await import('./platform/file-layer.js'),
  ];
  return localScheme(realFiles);
}

async function sftp(): Promise<EndpointScheme> {
  return (await import('./endpoint/sftp.js')).sftpScheme();
}

async function peer(): Promise<EndpointScheme> {
  return (await import('./endpoint/peer.js')).peerScheme();
}

/** The peers that this user knows. */
export function peerBook(): Promise<typeof import('./endpoint/peer/book.js')> {
  return import('./endpoint/peer/book.js');
}

/** A host that this user knows, asked once. It is looked up each time: it may be added or forgotten meanwhile. */
export function askPeer(name: string): AskPeer {
  return async (call, request, signal) => {
    const [{ peerPlace }, { peerClient }] = [
      await import('./endpoint/peer/address.js'),
      await import('./endpoint/peer/client.js'),
    ];
    const { address } = peerPlace({ scheme: 'peer', text: `${name}/any`, name });
    return peerClient(address).callOnce(call, request, signal);
  };
}

/** What another host has told us to copy from, as a location. */
export async function pulledLocation(from: PulledFrom): Promise<Location> {
  return (await import('./endpoint/peer/address.js')).pulledLocation(from);
}

/** How a copy between two peers is driven from here. */
export function peerDriver(): Promise<typeof import('./endpoint/peer/driver.js')> {
  return import('./endpoint/peer/driver.js');
}

async function zero(): Promise<EndpointScheme> {
  return (await import('./endpoint/null.js')).zeroScheme();
}

async function nothing(): Promise<EndpointScheme> {
  const [{ nullScheme }, { randomUUID }] = [await import('./endpoint/null.js'), await import('node:crypto')];
  return nullScheme(() => join(tmpdir(), `.null-${randomUUID()}.blockferry-journal`));
}

/** @param threads that work on the same job */
export function defaultRegistry(threads = 1): Registry {
  const http = httpAmong(threads);
  const webdav = async () => (await import('./endpoint/webdav.js')).webdavScheme(threads);
  return { file: local, http, https: http, peer, s3, sftp, webdav, webdavs: webdav, zero, null: nothing };
}

/** Adds disks, in containers of all kinds. Nobody types such a location, so messages that list the kinds omit it. */
function withDisks(registry: Registry): Registry {
  const disk = async (): Promise<EndpointScheme> => (await import('./transfer/disk-ends.js')).diskScheme(registry);
  return Object.defineProperty(registry, 'disk', { value: disk, enumerable: false });
}

async function diskGate(): Promise<Gate> {
  const { lookAtSource, lookAtTarget } = await import('./disk/gate.js');
  return { source: lookAtSource, target: lookAtTarget };
}

/** What each of so many threads of a job works with. */
export async function performerParts(threads = 1): Promise<PerformerParts> {
  const [{ systemClock }, { FileJournals }, { realFiles }, { withFirstBytes }] = await Promise.all([
    import('./core/clock.js'),
    import('./journal/file-journal.js'),
    import('./platform/file-layer.js'),
    import('./benchmark/first-bytes.js'),
    // Nearly every target is one; while the others are read, it comes along.
    import('./endpoint/local.js'),
  ]);
  const journals = new FileJournals(realFiles);
  const treeJournals = async () => {
    const { TreeJournals } = await import('./journal/tree-journal.js');
    return new TreeJournals(realFiles, journals);
  };
  const registry = withDisks(withFirstBytes(defaultRegistry(threads)));
  return { registry, journals, treeJournals, gate: diskGate, clock: systemClock };
}

/** What a service on that state folder is made of, opened. @throws TransferError E_POLICY, E_STORE, E_LOCKED */
export async function serviceParts(folder: string, note: (sentence: string) => void): Promise<ServiceParts> {
  const [{ systemClock: clock }, { SqliteStore }, { PolicyFile }, { Notifier }] = await Promise.all([
    import('./core/clock.js'),
    import('./service/store/sqlite-store.js'),
    import('./service/policy/policy-file.js'),
    import('./service/notify/notifier.js'),
  ]);
  const policies = await PolicyFile.open({ folder, clock, onError: ({ message }) => note(message) });
  return {
    ...{ clock, policies, note, random: Math.random, newRunner },
    store: new SqliteStore({ folder, clock, note }),
    notices: (about) => new Notifier({ clock, random: Math.random, note: about }),
  };
}

let early: Promise<ChunkRunner> | undefined;

/**
 * Starts the first thread, which then loads beside the caller: the next {@link createRunner} takes it over, and meets
 * what may have gone wrong.
 */
export async function startRunnerEarly(): Promise<void> {
  early ??= newRunner();
  await Promise.allSettled([early]);
}

/**
 * Threads for one job, as many as there are cores unless `workers` says otherwise, and in no case more than
 * `workersMax`.
 */
export async function createRunner(workers?: number, workersMax = Number.POSITIVE_INFINITY): Promise<ChunkRunner> {
  const taken = early;
  early = undefined;
  const started = await taken;
  if (started && workers === undefined && started.workers <= workersMax) return started;
  await started?.close();
  return newRunner(workers, workersMax);
}

async function newRunner(workers?: number, workersMax?: number): Promise<ChunkRunner> {
  const { PoolRunner, defaultWorkers } = await import('./transfer/pool-runner.js');
  return new PoolRunner(Math.min(workers ?? defaultWorkers(), workersMax ?? Number.POSITIVE_INFINITY));
}
