/**
 * The only file that picks concrete parts: which endpoints there are, which files, which clock, which runner. It loads
 * them when they are asked for: a thread needs the ends, the command needs the runner, and a local copy needs no
 * network.
 */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndpointScheme, Registry } from './endpoint/registry.js';
import type { ChunkRunner } from './transfer/chunk-runner.js';
import type { PerformerParts } from './transfer/perform.js';

async function http(): Promise<EndpointScheme> {
  const { openHttpSource, attachHttpSource } = await import('./endpoint/http.js');
  return { openSource: (location) => openHttpSource(location), attachSource: (ref) => attachHttpSource(ref) };
}

async function local(): Promise<EndpointScheme> {
  const [{ localScheme }, { realFiles }] = [
    await import('./endpoint/local.js'),
    await import('./platform/file-layer.js'),
  ];
  return localScheme(realFiles);
}

async function zero(): Promise<EndpointScheme> {
  return (await import('./endpoint/null.js')).zeroScheme();
}

async function nothing(): Promise<EndpointScheme> {
  const { nullScheme } = await import('./endpoint/null.js');
  return nullScheme(() => join(tmpdir(), `.null-${randomUUID()}.blockferry-journal`));
}

export function defaultRegistry(): Registry {
  return { file: local, http, https: http, zero, null: nothing };
}

/** What a thread works with. */
export async function performerParts(): Promise<PerformerParts> {
  const { systemClock } = await import('./core/clock.js');
  const { withFirstBytes } = await import('./benchmark/first-bytes.js');
  const { FileJournals } = await import('./journal/file-journal.js');
  const { realFiles } = await import('./platform/file-layer.js');
  const journals = new FileJournals(realFiles);
  const treeJournals = async () => {
    const { TreeJournals } = await import('./journal/tree-journal.js');
    return new TreeJournals(realFiles, journals);
  };
  return { registry: withFirstBytes(defaultRegistry()), journals, treeJournals, clock: systemClock };
}

let early: Promise<ChunkRunner> | undefined;

/** Starts the usual threads while the caller is still loading: the next {@link createRunner} takes them over. */
export function startRunnerEarly(): void {
  early ??= newRunner();
}

/** Threads for one job, as many as there are cores unless `workers` says otherwise. */
export async function createRunner(workers?: number): Promise<ChunkRunner> {
  const taken = early;
  early = undefined;
  const started = await taken;
  if (started && workers === undefined) return started;
  await started?.close();
  return newRunner(workers);
}

async function newRunner(workers?: number): Promise<ChunkRunner> {
  const { PoolRunner } = await import('./transfer/pool-runner.js');
  return new PoolRunner(workers);
}
