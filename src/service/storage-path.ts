/**
 * The storage that a location is on: jobs that share one are limited together, and share threads, so that a slow or
 * hung storage keeps only its own jobs waiting. Nothing is asked of the storage to tell.
 */
import { basename, posix } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { parseLocation } from '../endpoint/location.js';
import { mountOf } from '../platform/file-system.js';
import type { JobFile } from './job.js';

/** A mount point of those given, or a scheme and a host (or bucket). */
export function storagePath({ scheme, text }: Location, mounts: readonly string[]): string {
  if (scheme === 'file') return mountOf(posix.normalize(text), mounts);
  return URL.canParse(text) ? `${scheme}://${new URL(text).host}` : `${scheme}:`;
}

/** Both ends of a file of a job. */
export function endsOf({ files }: { readonly files: readonly JobFile[] }, index: number) {
  const file = files[index];
  if (!file) throw new RangeError(`the job has no file ${index}`);
  return { source: parseLocation(file.source.text), target: parseLocation(file.target.text) };
}

/** What the source is called inside a target that is a folder. */
export function fileName({ scheme, text }: Location): string {
  return basename(scheme === 'file' ? text : new URL(text).pathname);
}
