/**
 * Multipart uploads that nobody finished: they have no name and cost money until somebody aborts them. The server does
 * not say who began one; that a copy from here can go on with it is told by its journal.
 */
import { existsSync } from 'node:fs';
import type { Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import type { EndpointScheme, Leftover } from '../registry.js';
import { insist } from './client.js';
import { nameOf, placeOf, type S3Place } from './place.js';
import { abortUpload, journalOf } from './target.js';
import { nodesOf, readXml, textOf, type XmlNode } from './xml.js';

const PAGES_MAX = 1000;

type LayoutAt = Parameters<NonNullable<EndpointScheme['leftovers']>>[2];

/**
 * All unfinished uploads of keys that begin as the location says. Those that were begun before `abortBeforeMs` are
 * aborted, but for those that a copy from here goes on with.
 */
export async function s3Leftovers(
  location: Location,
  abortBeforeMs: number | undefined,
  layoutAt: LayoutAt,
): Promise<readonly Leftover[]> {
  const place = placeOf(location);
  const found: Leftover[] = [];
  for await (const { key, id, begunAtMs } of uploads(place)) {
    const at = { ...place, key };
    const resumable = await isOnRecord(journalOf(at), id, layoutAt);
    const ends = abortBeforeMs !== undefined && begunAtMs < abortBeforeMs && !resumable;
    const aborted = ends && (await abortUpload(at, id));
    found.push({ name: nameOf(at), id, begunAtMs, resumable, aborted });
  }
  return found;
}

/** Whether a journal names this very upload, or may yet. */
async function isOnRecord(journalPath: string, id: string, layoutAt: LayoutAt): Promise<boolean> {
  if (!existsSync(journalPath)) return false;
  const layout = await layoutAt(journalPath);
  return layout === undefined || layout.uploadId === id;
}

interface Begun {
  readonly key: string;
  readonly id: string;
  readonly begunAtMs: number;
}

async function* uploads(place: S3Place): AsyncGenerator<Begun> {
  const name = nameOf(place);
  let from: Readonly<Record<string, string>> = {};
  for (let page = 0; page < PAGES_MAX; page++) {
    const query = { uploads: '', prefix: place.key, ...from };
    const answer = await insist(place, { method: 'GET', query, ofBucket: true }, { statuses: [200], end: 'target' });
    const list = await readXml(answer.text, 'ListMultipartUploadsResult', name);
    if (list === undefined) throw oddList(name);
    for (const node of nodesOf(list, 'Upload')) yield readUpload(node, name);
    if (textOf(list, 'IsTruncated') !== 'true') return;
    const next = {
      'key-marker': textOf(list, 'NextKeyMarker') ?? '',
      'upload-id-marker': textOf(list, 'NextUploadIdMarker') ?? '',
    };
    if (next['key-marker'] === '' || JSON.stringify(next) === JSON.stringify(from)) throw oddList(name);
    from = next;
  }
  throw oddList(name);
}

function readUpload(node: XmlNode, name: string): Begun {
  const key = textOf(node, 'Key') ?? '';
  const id = textOf(node, 'UploadId') ?? '';
  const begunAtMs = Date.parse(textOf(node, 'Initiated') ?? '');
  if (key === '' || id === '' || Number.isNaN(begunAtMs)) throw oddList(name);
  return { key, id, begunAtMs };
}

function oddList(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server's list of unfinished uploads makes no sense`, {
    hint: 'Check the endpoint, and the proxies before it.',
  });
}
