/** `verify()` and `verifyTree()`: comparisons with another location or with a manifest. */
import { systemClock } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';
import { diskLocation } from '../disk/disk-location.js';
import type { VerifyResult } from '../transfer/verify.js';
import type { TreeVerifyResult } from '../tree/verify-report.js';
import { locationOf } from './options.js';
import { overHttp } from './over-http.js';
import { Run } from './run.js';

/** What to compare. */
export interface VerifyOptions {
  /** What is to be proven. */
  readonly target: string;
  /** What it is compared with, byte by byte; or: */
  readonly source?: string;
  /** Path of a manifest, with whose digests it is compared. */
  readonly manifest?: string;
  /**
   * Compare what guests see of two disk images, whatever their formats are. A manifest says itself what it is of.
   */
  readonly content?: boolean;
  /** Folders in which images that others build on are looked for, too. */
  readonly parentFolders?: readonly string[];
  /** How a location is asked that is reached over HTTP. */
  readonly http?: HttpOptions;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}

/**
 * Compares a target with another location or with a manifest that speaks of one file. That they differ is an answer and
 * no error.
 */
export function verify(options: VerifyOptions): Run<VerifyResult> {
  const typed = locationOf('target', options.target);
  const against = otherSide(options);
  assertParentsMeant(options);
  const parts = { clock: systemClock, random: Math.random };
  if ('manifest' in against) {
    const [target] = overHttp(options.http, [typed]);
    const request = { target, content: contentOf(target, options), manifest: against.manifest };
    return new Run(async (runner) => {
      const { ManifestVerification } = await import('../transfer/verify-manifest.js');
      return new ManifestVerification(request, { ...parts, runner });
    }, options);
  }
  const end = (location: Location): Location => (options.content ? contentOf(location, options) : location);
  // Nothing is lost when this is stopped, so that one stream is as good as chunks.
  const http = { ...options.http, noResumeOk: true };
  const [target, source] = overHttp(http, [typed, locationOf('source', against.source)]);
  const request = { one: end(target), other: end(source), algorithm: 'xxh64' } as const;
  return new Run(async (runner) => {
    const { Verification } = await import('../transfer/verify.js');
    return new Verification(request, { ...parts, runner });
  }, options);
}

/** Compares the files of a folder with those of another folder, or with a manifest. */
export function verifyTree(options: Omit<VerifyOptions, 'content' | 'parentFolders' | 'http'>): Run<TreeVerifyResult> {
  const against = otherSide(options);
  const other = 'manifest' in against ? against : { source: folderOf('source', against.source) };
  const request = { target: folderOf('target', options.target), ...other };
  const parts = { clock: systemClock, random: Math.random };
  return new Run(async (runner) => {
    const { TreeVerification } = await import('../tree/verify-tree.js');
    return new TreeVerification(request, { ...parts, runner });
  }, options);
}

function assertParentsMeant({ parentFolders = [], content, manifest }: VerifyOptions): void {
  if (parentFolders.length === 0 || content || manifest !== undefined) return;
  throw new TransferError('E_USAGE', 'folders of parents were given, and it is files that are compared', {
    hint: 'Say --content to compare what guests see of two disks.',
  });
}

function contentOf(container: Location, { parentFolders = [] }: VerifyOptions): Location {
  return diskLocation({ container, parentFolders });
}

function otherSide({ source, manifest }: VerifyOptions): { readonly manifest: string } | { readonly source: string } {
  if (manifest !== undefined && source === undefined) return { manifest };
  if (source !== undefined && manifest === undefined) return { source };
  throw new TransferError('E_USAGE', 'verify compares with a source or with a manifest: one of the two was expected');
}

function folderOf(name: string, text: string): string {
  const location = locationOf(name, text);
  if (location.scheme === 'file') return location.text;
  throw new TransferError('E_USAGE', `${location.name} is no folder of this machine`, {
    hint: 'Mount it, or compare its files one by one.',
  });
}
