/**
 * How an upload becomes an object: every part is asked for first, the server puts them together, and what stands under
 * the key is looked at before anybody calls it done. Whether it is ours is told by an id in its metadata.
 */
import { TransferError } from '../../core/errors.js';
import type { CommitRequest, Token } from '../../core/target.js';
import { headerOf } from '../http/errors.js';
import { ask, insist, type S3Request } from './client.js';
import { type S3Answer, s3Error } from './errors.js';
import type { Upload } from './part.js';
import { listParts, type Part } from './parts.js';
import { isAmazon, nameOf, type S3Place } from './place.js';
import { escaped, readXml } from './xml.js';

const COPY_ID = 'x-amz-meta-blockferry-copy';

/** What an object of ours is begun with. */
export function ownHeaders(copyId: string): Readonly<Record<string, string>> {
  return { [COPY_ID]: copyId, 'content-type': 'application/octet-stream' };
}

export interface Standing {
  readonly size: number;
  /** Of the copy that made it; undefined: somebody else did. */
  readonly copyId: string | undefined;
}

/** What stands under the key; undefined: nothing. */
export async function standingAt(place: S3Place): Promise<Standing | undefined> {
  const wanted = { statuses: [200, 404, 403, 400], end: 'target' } as const;
  const { status, headers } = await insist(place, { method: 'HEAD' }, wanted);
  if (status === 404) return undefined;
  // The answer to a HEAD has no words: those of a GET say why.
  if (status !== 200)
    throw s3Error(nameOf(place), await ask(place, { method: 'GET', headers: { range: 'bytes=0-0' } }), 'target');
  return { size: Number(headerOf(headers, 'content-length')), copyId: headerOf(headers, COPY_ID) };
}

export function isOurs(upload: Pick<Upload, 'copyId' | 'size'>, standing: Standing | undefined): boolean {
  return standing?.copyId === upload.copyId && standing.size === upload.size;
}

/** Answers what cannot be promised. @throws TransferError E_TARGET_EXISTS, E_TARGET_CHANGED, E_PART_LOST and others */
export async function commitUpload(upload: Upload, request: CommitRequest): Promise<readonly string[]> {
  const { place } = upload;
  const before = await standingAt(place);
  if (isOurs(upload, before)) return notes(place, request);
  if (before !== undefined && !request.overwrite) throw exists(nameOf(place));
  try {
    if (upload.size === 0) await putEmpty(upload, request);
    else await complete(upload, request);
  } catch (thrown) {
    // An answer that was lost on its way is no reason to doubt what stands there.
    if (!isOurs(upload, await standingAt(place))) throw thrown;
  }
  const now = await standingAt(place);
  if (!isOurs(upload, now)) throw replaced(nameOf(place), upload.size, now);
  return notes(place, request);
}

async function putEmpty({ place, copyId }: Upload, request: CommitRequest): Promise<void> {
  await create(place, { method: 'PUT', headers: ownHeaders(copyId) }, request);
}

async function complete(upload: Upload, request: CommitRequest): Promise<void> {
  const { place, uploadId } = upload;
  const body = completion(upload, await listParts(place, uploadId), request.tokens);
  const headers = { 'content-type': 'application/xml' };
  const asked = { method: 'POST', query: { uploadId }, headers, body, patient: true } as const;
  const answer = await create(place, asked, request);
  const result = await readXml(answer.text, 'CompleteMultipartUploadResult', nameOf(place));
  if (result === undefined) throw s3Error(nameOf(place), answer, 'target');
}

/** Asks not to replace anything, unless that is wanted; a server that knows no such question gets it without. */
async function create(place: S3Place, request: S3Request, { overwrite }: CommitRequest): Promise<S3Answer> {
  const end = 'target';
  if (!overwrite) {
    const headers = { ...request.headers, 'if-none-match': '*' };
    const answer = await insist(place, { ...request, headers }, { statuses: [200, 412, 501], end });
    if (answer.status === 412) throw exists(nameOf(place));
    if (answer.status === 200) return answer;
  }
  return insist(place, request, { statuses: [200], end });
}

/** The list of all parts, each checked: there, as large as its chunk, and the one that was sent. */
function completion(
  { place, size, chunkBytes }: Upload,
  parts: ReadonlyMap<number, Part>,
  tokens: ReadonlyMap<number, Token> = new Map(),
): string {
  const count = Math.ceil(size / chunkBytes);
  const lines: string[] = [];
  for (let chunk = 0; chunk < count; chunk++) {
    const part = parts.get(chunk + 1);
    const expected = Math.min(chunkBytes, size - chunk * chunkBytes);
    const token = tokens.get(chunk) ?? part?.etag;
    if (part?.size !== expected || part.etag !== token) throw partChanged(nameOf(place), chunk, part !== undefined);
    const etag = escaped(`"${part.etag}"`);
    lines.push(`<Part><PartNumber>${chunk + 1}</PartNumber><ETag>${etag}</ETag></Part>`);
  }
  return `<CompleteMultipartUpload>${lines.join('')}</CompleteMultipartUpload>`;
}

function notes(place: S3Place, { overwrite, attributes }: CommitRequest): readonly string[] {
  const name = nameOf(place);
  const race = `${name}: nothing was there; but this server may replace what appears in the very last moment`;
  return [
    ...(overwrite || isAmazon(place) ? [] : [race]),
    ...(attributes ? [`--preserve: ${name} is an object, which keeps no modes, owners and times`] : []),
  ];
}

function exists(name: string): TransferError {
  return new TransferError('E_TARGET_EXISTS', `${name} exists already and was left as it is`, {
    hint: 'The finished copy is kept without a name: the same command with --overwrite gives it its name.',
  });
}

function partChanged(name: string, chunk: number, there: boolean): TransferError {
  const what = there ? 'is not what was sent' : 'is missing';
  return new TransferError('E_TARGET_CHANGED', `${name}: part ${chunk + 1} of the upload ${what}`, {
    hint: 'Something else works on this upload. The same command sends that part again.',
    chunk,
  });
}

function replaced(name: string, size: number, now: Standing | undefined): TransferError {
  const found = now === undefined ? 'nothing' : `another object, of ${now.size} bytes`;
  return new TransferError('E_TARGET_CHANGED', `${name}: ${size} bytes were finished, and ${found} stands there`, {
    hint: 'Something else writes to this key; see what it is, then copy again.',
  });
}
