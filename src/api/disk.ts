/** Disk images: what is in them, what is wrong with them, what they are known by, and the merging of a chain. */
import { createRunner } from '../compose.js';
import { systemClock } from '../core/clock.js';
import type { DigestOf } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';
import type { DiskCheck } from '../disk/check.js';
import type { ChainDescription } from '../disk/describe.js';
import type { DiskMap } from '../disk/disk-map.js';
import type { ParentChanged } from '../disk/set-parent.js';
import type { DigestResult } from '../transfer/disk/digest-job.js';
import type { MergeResult } from '../transfer/disk/merge-job.js';
import type { DiskRequest } from '../transfer/disk/tasks.js';
import type { Work, WorkName } from '../transfer/requests.js';
import { locationOf, rateOf } from './options.js';
import { overHttp } from './over-http.js';
import { Run } from './run.js';

/** Where to look for the images that an image builds on. */
export interface DiskOptions {
  /** Folders in which parents may be, besides where the image says; they are looked for by name. */
  readonly parentFolders?: readonly string[];
  /** How an image is asked for that is reached over HTTP. */
  readonly http?: HttpOptions;
}

export interface MapDiskOptions extends DiskOptions {
  /** Without the images that it builds on. Default false. */
  readonly alone?: boolean;
  /** How many cells the picture has. Default 1024. */
  readonly cells?: number;
}

export interface MergeDiskOptions extends Omit<DiskOptions, 'http'> {
  /** The image that is merged; a path. */
  readonly child: string;
  /** What it is merged into: its parent (the default), the base of its chain, or one in between by its path. */
  readonly into?: 'parent' | 'base' | { readonly path: string };
  /** Leave the merged image where it is. Only for a merge into the parent. */
  readonly keep?: boolean;
  /** Merge although other images build on one that is changed or goes: their disks are wrong afterwards. */
  readonly breakOthers?: boolean;
  /** Bytes per second, an upper bound; absent or 0: as fast as it goes. */
  readonly limitBytesPerSecond?: number;
  /** Aborting stops the merge; the same call goes on with it. */
  readonly signal?: AbortSignal;
}

export interface DiskDigestOptions extends DiskOptions {
  /** A path or a URL. */
  readonly image: string;
  /** Default both. */
  readonly of?: DigestOf | 'both';
  /** The SHA-256 too, which takes one more reading. */
  readonly sha256?: boolean;
  readonly workers?: number;
  readonly signal?: AbortSignal;
}

export interface SetDiskParentOptions extends Omit<DiskOptions, 'http'> {
  readonly child: string;
  readonly parent: string;
  /** Also one that is not what the image was made on: the disk then reads other bytes. Default false. */
  readonly anyParent?: boolean;
}

const parts = { clock: systemClock, random: Math.random };

/** What an image and the images that it builds on are. A missing parent is an answer. @throws TransferError */
export function describeDisk(image: string, options: DiskOptions = {}): Promise<ChainDescription> {
  return once('describe-disk', diskRequest(image, options));
}

/** What a disk has allocated, through all images of its chain. @throws TransferError */
export function mapDisk(image: string, options: MapDiskOptions = {}): Promise<DiskMap> {
  const { alone = false, cells = 1024 } = options;
  return once('map-disk', { ...diskRequest(image, options), alone, cells });
}

/** What is wrong with an image and with those that it builds on. @throws TransferError when it cannot be read */
export function checkDisk(image: string, options: DiskOptions = {}): Promise<DiskCheck> {
  return once('check-disk', diskRequest(image, options));
}

/** Makes an image name another parent, in place, when it is the same disk. @throws TransferError */
export function setDiskParent(options: SetDiskParentOptions): Promise<ParentChanged> {
  const { anyParent = false, parentFolders = [] } = options;
  const [child, parent] = [locationOf('child', options.child), locationOf('parent', options.parent)];
  return once('set-disk-parent', { child, parent, anyParent, parentFolders });
}

/** The digests of an image: of the container, its file, and of the content, what a guest sees. */
export function diskDigest(options: DiskDigestOptions): Run<DigestResult> {
  const { of = 'both', sha256 = false } = options;
  const request = { ...diskRequest(options.image, options), of: of === 'both' ? DIGESTS : [of], sha256 };
  return new Run(async (runner) => {
    const { DigestRun } = await import('../transfer/disk/digest-job.js');
    return new DigestRun(request, { ...parts, runner });
  }, options);
}

const DIGESTS: readonly DigestOf[] = ['container', 'content'];

/**
 * Merges an image into the one that it builds on, or a chain into its base, in place. The image goes once all of it is
 * durable there, and images that built on it are re-pointed. However it ends, the same call goes on with it.
 */
export function mergeDisk(options: MergeDiskOptions): Run<MergeResult> {
  const { into = 'parent', keep = false, breakOthers = false, parentFolders = [] } = options;
  if (keep && into !== 'parent') {
    throw new TransferError('E_USAGE', 'images can be kept only when one is merged into its parent', {
      hint: 'Merge them one by one, or let the merged ones go.',
    });
  }
  const request = {
    child: locationOf('child', options.child),
    ...(into === 'base' && { into }),
    ...(typeof into === 'object' && { into: locationOf('into', into.path) }),
    ...{ keep, breakOthers, parentFolders },
    rateBytesPerSecond: rateOf(options.limitBytesPerSecond),
  };
  return new Run(async (runner) => {
    const { MergeRun } = await import('../transfer/disk/merge-job.js');
    return new MergeRun(request, { ...parts, runner });
  }, options);
}

function diskRequest(image: string, { parentFolders = [], http }: DiskOptions): DiskRequest {
  const [location] = overHttp(http, [locationOf('image', image)]);
  return { location, parentFolders };
}

async function once<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
  const runner = await createRunner();
  try {
    return await runner.run(name, request);
  } finally {
    await runner.close();
  }
}
