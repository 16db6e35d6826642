/**
 * Large work leaves the page cache as it found it: it would push out what others use, and the cache could not hold it
 * anyway. Small work leaves the cache alone, which is to say that it fills it: dropping would take from those who use
 * the same file. Work in the background leaves it as found whatever its size, since many small jobs are a large one.
 */
import { freemem } from 'node:os';
import type { EndpointRef } from '../core/endpoint.js';
import type { OpenedJob } from './opening.js';

const SHARE_OF_MEMORY = 1 / 4;

/** Of memory that is free or could be at once, in bytes. */
export type MemoryBytes = () => number;

/** The same end, told to leave the cache where `bytes` are more than a quarter of the available memory. */
export function sparingCache<R extends EndpointRef>(ref: R, bytes: number, memoryBytes: MemoryBytes = freemem): R {
  if (ref.background) return { ...ref, leavesCache: true };
  return bytes > memoryBytes() * SHARE_OF_MEMORY ? { ...ref, leavesCache: true } : ref;
}

/** The ends are told, and not the tasks: every reading and writing of the job goes through them. */
export function sparingOthers(job: OpenedJob, background: boolean, memoryBytes?: MemoryBytes): OpenedJob {
  const spare = <E extends { readonly ref: EndpointRef }>(end: E): E => ({
    ...end,
    ref: sparingCache({ ...end.ref, ...(background && { background }) }, job.grid.size, memoryBytes),
  });
  const { source, work } = job;
  return { ...job, source: spare(source), ...(work && { work: { ...work, prepared: spare(work.prepared) } }) };
}
