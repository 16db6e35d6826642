/**
 * The storage that a location is on: jobs that share one are limited together, and share threads, so that a slow or
 * hung storage keeps only its own jobs waiting. Nothing is asked of the storage to tell.
 */
import { posix } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { mountOf } from '../platform/file-system.js';

/** A mount point, or a scheme and a host (or bucket). */
export function storagePath({ scheme, text }: Location): string {
  if (scheme === 'file') return mountOf(posix.normalize(text));
  return URL.canParse(text) ? `${scheme}://${new URL(text).host}` : `${scheme}:`;
}
