/**
 * An object as a target: a multipart upload, in which each chunk is one part. It has no name until it is complete, and
 * it is found again by its upload id, which the journal keeps.
 */
import { randomUUID } from 'node:crypto';
import { CHUNK_BYTES_MAX } from '../../core/chunk.js';
import type { EndpointRef, Location, Source } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import type { PartMark, PreparedTarget, PrepareRequest, Target, TargetLayout, TargetSite } from '../../core/target.js';
import { MiB } from '../../core/units.js';
import { remoteJournalPath } from '../remote-journal.js';
import { insist } from './client.js';
import { commitUpload, isOurs, ownHeaders, standingAt } from './commit.js';
import { PartWriter, partNumber, type Upload } from './part.js';
import { listParts, PARTS_MAX, type Part } from './parts.js';
import { identityOf, nameOf, placeInside, placeOf, type S3Place } from './place.js';
import { readXml, textOf } from './xml.js';

interface LocatedRef extends EndpointRef {
  readonly scheme: 's3';
  readonly place: S3Place;
}

interface UploadRef extends LocatedRef {
  readonly upload: Upload;
}

const LIMITS = { chunkBytesMin: 5 * MiB, chunkBytesMax: CHUNK_BYTES_MAX, chunkCountMax: PARTS_MAX };
/** Upload ids are long at some servers; none is longer than this. */
const UPLOAD_ID_MAX = 4096;

export async function locateS3Target(location: Location, sourceName: string): Promise<TargetSite> {
  const place = placeInside(placeOf(location), sourceName);
  const name = nameOf(place);
  if (place.anonymous || place.version !== undefined) {
    throw new TransferError('E_USAGE', `${name}: anonymous and version are for objects that are read`, {
      hint: 'Leave them out.',
    });
  }
  if (place.key === '' || place.key.endsWith('/')) {
    throw new TransferError('E_USAGE', `${name} is a bucket or a folder in it, and names no object`, {
      hint: 'Give the whole key of one object.',
    });
  }
  const existing = await standingAt(place);
  return {
    ref: { scheme: 's3', place } as LocatedRef,
    name,
    fileName: place.key.split('/').at(-1) ?? '',
    journalPath: journalOf(place),
    publish: 'atomic',
    limits: LIMITS,
    wholeChunks: true,
    unreadable: true,
    partialOnRecord: true,
    writesPerWorker: 4,
    ...(existing && { existing: { device: identityOf(place), inode: place.key } }),
  };
}

/** Where the journal of a copy to this object would be. */
export function journalOf(place: S3Place): string {
  return remoteJournalPath(`${identityOf(place)} ${place.key}`);
}

/** Begins the upload; an empty object needs none. */
export async function layOutS3Target(source: Source, ref: EndpointRef, chunkBytes: number): Promise<TargetLayout> {
  const { place } = ref as LocatedRef;
  const copyId = randomUUID();
  if (source.size === 0) return { copyId, uploadId: '', chunkBytes };
  const request = { method: 'POST', query: { uploads: '' }, headers: ownHeaders(copyId) } as const;
  const answer = await insist(place, request, { statuses: [200], end: 'target' });
  const document = await readXml(answer.text, 'InitiateMultipartUploadResult', nameOf(place));
  const uploadId = textOf(document, 'UploadId') ?? '';
  if (uploadId === '' || uploadId.length > UPLOAD_ID_MAX) throw noUpload(nameOf(place));
  return { copyId, uploadId, chunkBytes };
}

export async function prepareS3Target(ref: EndpointRef, request: PrepareRequest): Promise<PreparedTarget> {
  const { place } = ref as LocatedRef;
  const upload = readLayout(place, request.layout, request.size);
  if (request.partial === 'reopen' && upload.size > 0) await listParts(place, upload.uploadId);
  const prepared: UploadRef = { scheme: 's3', place, upload };
  return { ref: prepared, identity: { device: identityOf(place), inode: upload.copyId }, zeroed: false };
}

export function attachS3Target(ref: EndpointRef): Target {
  return new S3Target(ref as UploadRef);
}

export async function discardS3Partial(ref: EndpointRef, layout: TargetLayout | undefined): Promise<void> {
  const { place } = ref as LocatedRef;
  const uploadId = layout?.uploadId;
  if (typeof uploadId === 'string' && uploadId !== '') await abortUpload(place, uploadId);
}

/** Answers whether there was such an upload. */
export async function abortUpload(place: S3Place, uploadId: string): Promise<boolean> {
  const wanted = { statuses: [204, 200, 404], end: 'target' } as const;
  return (await insist(place, { method: 'DELETE', query: { uploadId } }, wanted)).status !== 404;
}

export async function finishS3Commit(ref: EndpointRef, part: PartMark): Promise<boolean> {
  const { place } = ref as LocatedRef;
  if (part.device !== identityOf(place) || part.mtimeNs !== MARK_TIME) return false;
  return isOurs({ copyId: part.inode, size: part.size }, await standingAt(place));
}

/** A part's id says all that a time could say. */
const MARK_TIME = '0';

class S3Target implements Target {
  readonly ref: UploadRef;
  #parts: Promise<ReadonlyMap<number, Part>> | undefined;

  constructor(ref: UploadRef) {
    this.ref = ref;
  }

  openChunk(...[range, signal]: Parameters<Target['openChunk']>): PartWriter {
    return new PartWriter(this.ref.upload, range, signal);
  }

  /** What this run writes is not asked for, so that the list is fetched once. */
  async holds(...[range, { token }]: Parameters<NonNullable<Target['holds']>>): Promise<boolean> {
    const { upload } = this.ref;
    const part = (await this.#listed()).get(partNumber(upload, range));
    return part !== undefined && part.etag === token && part.size === range.length;
  }

  /** A list that could not be had is asked for again, when somebody asks again. */
  #listed(): Promise<ReadonlyMap<number, Part>> {
    const { place, upload } = this.ref;
    this.#parts ??= listParts(place, upload.uploadId).catch((thrown) => {
      this.#parts = undefined;
      throw thrown;
    });
    return this.#parts;
  }

  /** A part that was answered for is durable. */
  async flush(): Promise<void> {
    // Nothing is left to be done.
  }

  mark(): PartMark {
    const { place, upload } = this.ref;
    return { device: identityOf(place), inode: upload.copyId, size: upload.size, mtimeNs: MARK_TIME };
  }

  commit(...[request]: Parameters<Target['commit']>): Promise<readonly string[]> {
    return commitUpload(this.ref.upload, request);
  }

  async close(): Promise<void> {
    // The connections belong to the thread; the upload stays, for the next run.
  }
}

function readLayout(place: S3Place, layout: TargetLayout | undefined, size: number): Upload {
  const { copyId, uploadId, chunkBytes } = layout ?? {};
  if (typeof copyId === 'string' && typeof uploadId === 'string' && typeof chunkBytes === 'number' && chunkBytes > 0)
    return { place, copyId, uploadId, chunkBytes, size };
  throw new TransferError('E_JOURNAL_DAMAGED', `${nameOf(place)}: the journal does not say which upload it is about`, {
    hint: '--discard begins afresh.',
  });
}

function noUpload(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server began an upload without saying which`, {
    hint: 'Check whether this server knows multipart uploads.',
  });
}
