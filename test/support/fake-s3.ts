/**
 * An S3 server of a few lines, for answers that a real one does not give on demand: it does what it should with one
 * object, until the script says otherwise. It checks no signatures.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FakeRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
}

export interface FakeAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** The answer comes while the request is still being sent, and then the connection ends. */
  readonly early?: true;
}

export interface FakeS3 {
  readonly endpoint: string;
  readonly asked: readonly FakeRequest[];
  /** What stands under the key, or is to stand there. */
  object: Buffer | undefined;
  /** Answers in the place of the good server; undefined: that answers. */
  script: (request: FakeRequest) => FakeAnswer | undefined;
  stop(): Promise<void>;
}

export const errorDocument = (code: string, more = ''): string =>
  `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code>${more}<Message>secret words</Message></Error>`;

export async function serveFakeS3(): Promise<FakeS3> {
  const asked: FakeRequest[] = [];
  const fake: Pick<FakeS3, 'object' | 'script'> = { object: undefined, script: () => undefined };
  const parts = new Map<number, Buffer>();
  let copyId = '';
  const good = (request: FakeRequest, body: Buffer): FakeAnswer => {
    const { method, query, headers } = request;
    if (method === 'POST' && query.has('uploads')) {
      copyId = String(headers['x-amz-meta-blockferry-copy']);
      return { body: '<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>' };
    }
    if (method === 'PUT') {
      parts.set(Number(query.get('partNumber')), unframed(body));
      return { headers: { etag: `"part-${query.get('partNumber')}"` } };
    }
    if (method === 'POST') {
      fake.object = Buffer.concat([...parts].sort(([one], [other]) => one - other).map(([, bytes]) => bytes));
      return { body: '<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>' };
    }
    if (query.has('uploadId')) return { body: listOf(parts) };
    return read(fake.object, request, copyId);
  };
  const server = createServer((incoming, outgoing) => {
    const url = new URL(incoming.url ?? '/', 'http://fake');
    const { method = '', headers } = incoming;
    const request = { method, path: url.pathname, query: url.searchParams, headers };
    asked.push(request);
    const scripted = fake.script(request);
    if (scripted?.early) return send(outgoing, scripted, () => incoming.destroy());
    const chunks: Buffer[] = [];
    incoming.on('data', (bytes) => chunks.push(bytes));
    incoming.on('end', () => send(outgoing, scripted ?? good(request, Buffer.concat(chunks))));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(fake, { endpoint, asked, stop });
}

function send(
  outgoing: ServerResponse,
  { status = 200, headers = {}, body = '' }: FakeAnswer,
  then?: () => void,
): void {
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  outgoing.writeHead(status, { 'content-length': length, ...headers });
  outgoing.end(outgoing.req.method === 'HEAD' ? undefined : body, then);
}

function read(object: Buffer | undefined, { headers }: FakeRequest, copyId: string): FakeAnswer {
  if (object === undefined) return { status: 404, body: errorDocument('NoSuchKey') };
  const match = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '');
  const about = { etag: '"v1"', 'x-amz-meta-blockferry-copy': copyId };
  if (!match) return { headers: { ...about, 'content-length': String(object.length) }, body: object };
  const [first, last] = [Number(match[1]), Math.min(Number(match[2]), object.length - 1)];
  const range = `bytes ${first}-${last}/${object.length}`;
  return { status: 206, headers: { ...about, 'content-range': range }, body: object.subarray(first, last + 1) };
}

/** The bytes of a body that was signed piece by piece. */
function unframed(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; at < body.length; ) {
    const headEnd = body.indexOf('\r\n', at);
    const length = Number.parseInt(body.toString('latin1', at, headEnd), 16);
    pieces.push(body.subarray(headEnd + 2, headEnd + 2 + length));
    at = headEnd + 2 + length + 2;
  }
  return Buffer.concat(pieces);
}

function listOf(parts: ReadonlyMap<number, Buffer>): string {
  const lines = [...parts]
    .sort(([one], [other]) => one - other)
    .map(([number, { length }]) => partLine(number, length))
    .join('');
  return listPage(lines);
}

export function partLine(number: number, size: number): string {
  return `<Part><PartNumber>${number}</PartNumber><ETag>&quot;part-${number}&quot;</ETag><Size>${size}</Size></Part>`;
}

/** A page of a list of parts; `next` leads to another one. */
export function listPage(lines: string, next?: string): string {
  const more = next === undefined ? 'false' : `true</IsTruncated><NextPartNumberMarker>${next}</NextPartNumberMarker>`;
  return `<ListPartsResult>${lines}<IsTruncated>${more}${next === undefined ? '</IsTruncated>' : ''}</ListPartsResult>`;
}
