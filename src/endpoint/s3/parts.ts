/** What a server holds of a multipart upload, page by page; each page must lead on, so that no list is endless. */
import { TransferError } from '../../core/errors.js';
import { insist } from './client.js';
import { bareEtag } from './part.js';
import { nameOf, type S3Place } from './place.js';
import { nodesOf, readXml, textOf, type XmlNode } from './xml.js';

export const PARTS_MAX = 10_000;

export interface Part {
  readonly etag: string;
  readonly size: number;
}

/** All parts by their numbers. @throws TransferError E_PART_LOST when there is no such upload */
export async function listParts(place: S3Place, uploadId: string): Promise<ReadonlyMap<number, Part>> {
  const name = nameOf(place);
  const parts = new Map<number, Part>();
  for (let marker = 0; ; ) {
    const query = { uploadId, 'max-parts': '1000', ...(marker > 0 && { 'part-number-marker': String(marker) }) };
    const answer = await insist(place, { method: 'GET', query }, { statuses: [200], end: 'target' });
    const page = await readXml(answer.text, 'ListPartsResult', name);
    if (page === undefined) throw oddList(name);
    let last = marker;
    for (const node of nodesOf(page, 'Part')) {
      const number = numberIn(node, 'PartNumber', PARTS_MAX);
      const size = numberIn(node, 'Size', Number.MAX_SAFE_INTEGER);
      const etag = bareEtag(textOf(node, 'ETag') ?? '');
      if (number === undefined || number <= last || size === undefined || etag === '') throw oddList(name);
      parts.set(number, { etag, size });
      last = number;
    }
    if (textOf(page, 'IsTruncated') !== 'true') return parts;
    const next = numberIn(page, 'NextPartNumberMarker', PARTS_MAX);
    if (next === undefined || next <= marker || next < last) throw oddList(name);
    marker = next;
  }
}

function numberIn(node: XmlNode, name: string, max: number): number | undefined {
  const text = textOf(node, name) ?? '';
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return value <= max ? value : undefined;
}

function oddList(name: string): TransferError {
  return new TransferError('E_PROTOCOL', `${name}: the server's list of parts makes no sense`, {
    hint: 'Check the endpoint, and the proxies before it.',
  });
}
