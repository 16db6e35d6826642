/**
 * The two ends of a benchmark: what each location is, what it may be used for, and the scratch that is made in folders.
 * Only folders are written to, and in them only the scratch folder.
 */
import type { EndpointRef, Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { formatBytes, MiB } from '../core/units.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { Place } from '../transfer/measure/tasks.js';
import type { SourceInfo } from '../transfer/requests.js';
import type { EndReport } from './report.js';

/** The least that can be measured at all. */
const SOURCE_BYTES_MIN = MiB;

export type FoundEnd =
  | ({ readonly location: Location; readonly perWorker: number } & Place)
  | {
      readonly kind: 'stream';
      readonly location: Location;
      readonly bytes: number;
      readonly ref: EndpointRef;
      readonly perWorker: number;
    };

const SCRATCH_BYTES_MIN = 16 * MiB;
/** Chunks under way on each worker, for local ends. */
const LOCAL_PER_WORKER = 2;

/** Looks at what is to be read; an end that is no path stays open. @throws TransferError */
export async function findSource(location: Location, runner: ChunkRunner): Promise<FoundEnd> {
  const found = location.scheme === 'file' ? await findPlace(location, runner) : await findStream(location, runner);
  if (found.kind === 'folder' || found.bytes >= SOURCE_BYTES_MIN) return found;
  const message = `${location.name} has ${formatBytes(found.bytes)}: too little to be measured`;
  throw new TransferError('E_USAGE', message, {
    hint: `Give a file of at least ${formatBytes(SOURCE_BYTES_MIN)}, or a folder, in which a scratch file is made.`,
  });
}

/** Looks at what is to be written: a folder, and nothing else. @throws TransferError */
export async function findTarget(location: Location, runner: ChunkRunner): Promise<FoundEnd> {
  const found = location.scheme === 'file' ? await findPlace(location, runner) : undefined;
  if (found?.kind === 'folder') return found;
  const message = `${location.name} is no folder; bench writes scratch files in folders and nowhere else`;
  throw new TransferError('E_USAGE', message, {
    hint: 'Give a folder as the second location. Files and devices are only ever read: give them first, or alone.',
  });
}

async function findPlace(location: Location, runner: ChunkRunner): Promise<FoundEnd> {
  const place = await runner.run('look-at-place', { path: location.text });
  if (place) return { ...place, location, perWorker: LOCAL_PER_WORKER };
  throw new TransferError('E_SOURCE_MISSING', `${location.name}: no such file or folder`, { hint: 'Check the path.' });
}

async function findStream(location: Location, runner: ChunkRunner): Promise<FoundEnd> {
  const { size, ref, readsPerWorker }: SourceInfo = await runner.run('open-source', { location });
  return { kind: 'stream', location, bytes: size, ref, perWorker: readsPerWorker };
}

export function endReport(found: FoundEnd, bytes: number): EndReport {
  const { location, kind } = found;
  const fileSystem = kind === 'stream' ? undefined : found.fileSystem;
  return { name: location.name, kind, bytes, ...(fileSystem !== undefined && { fileSystem }) };
}

/**
 * How large each of `files` scratch files may be: together they leave half of what is free.
 * @throws TransferError E_NO_SPACE when that is too little to be measured
 */
export function roomFor(files: number, found: FoundEnd): number {
  const free = found.kind === 'stream' ? undefined : found.freeBytes;
  if (free === undefined) return Infinity;
  const bytes = free / 2 / files;
  if (bytes >= SCRATCH_BYTES_MIN) return bytes;
  const needed = formatBytes(2 * files * SCRATCH_BYTES_MIN);
  throw new TransferError('E_NO_SPACE', `${found.location.name} has only ${formatBytes(free)} free`, {
    hint: `At least ${needed} must be free, half of which is used. Free some space, or give another folder.`,
  });
}
