/**
 * A WebDAV server in memory, for answers that real ones do not give on demand: it does as a good one would, and a
 * script may answer instead.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface DavRequest {
  readonly method: string;
  /** Decoded. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
  /** Requests of this method before. */
  readonly nth: number;
}

/** Answers the request, or leaves it to the server with undefined. `good` is what the server would do. */
export type DavScript = (
  request: DavRequest,
  answer: ServerResponse,
  good: () => void,
) => 'answered' | undefined | Promise<'answered' | undefined>;

export interface DavServer {
  /** Such as `webdav://127.0.0.1:4711`. */
  readonly url: string;
  readonly http: string;
  readonly files: Map<string, Buffer>;
  readonly asked: DavRequest[];
  script: DavScript;
  stop(): Promise<void>;
}

export async function serveDav(script: DavScript = () => undefined): Promise<DavServer> {
  const files = new Map<string, Buffer>();
  const asked: DavRequest[] = [];
  const server = createServer((incoming, answer) => {
    const pieces: Buffer[] = [];
    incoming.on('data', (piece) => pieces.push(piece));
    incoming.on('error', () => answer.destroy());
    incoming.on('end', async () => {
      const { method = '', url = '/', headers } = incoming;
      const path = decodeURIComponent(new URL(url, 'http://server').pathname);
      const nth = asked.filter((one) => one.method === method).length;
      const request = { method, path, headers, body: Buffer.concat(pieces), nth };
      asked.push(request);
      const good = (): void => act(files, request, answer);
      if ((await dav.script(request, answer, good)) === undefined) good();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const http = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const dav: DavServer = {
    ...{ http, url: http.replace('http', 'webdav'), files, asked, script },
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
  return dav;
}

export function say(answer: ServerResponse, status: number, body: Uint8Array | string = '', headers = {}): 'answered' {
  answer.writeHead(status, { 'content-length': String(Buffer.byteLength(body)), ...headers }).end(body);
  return 'answered';
}

export function multistatus(path: string, properties: string): string {
  const prop = `<D:propstat><D:prop>${properties}</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>`;
  const response = `<D:response><D:href>${encodeURI(path)}</D:href>${prop}</D:response>`;
  return `<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">${response}</D:multistatus>`;
}

function act(files: Map<string, Buffer>, request: DavRequest, answer: ServerResponse): void {
  const { method, path, headers } = request;
  const file = files.get(path);
  if (method === 'PUT') put(files, request, answer);
  else if (method === 'PROPFIND' && path.endsWith('/'))
    say(answer, 207, multistatus(path, '<D:resourcetype><D:collection/></D:resourcetype>'));
  else if (file === undefined) say(answer, 404);
  else if (method === 'PROPFIND') say(answer, 207, multistatus(path, propertiesOf(file)));
  else if (method === 'DELETE') say(answer, files.delete(path) ? 204 : 404);
  else if (method === 'HEAD') say(answer, 200, '', { 'content-length': file.length });
  else if (method === 'MOVE') move(files, request, answer);
  else get(file, String(headers.range), answer);
}

function move(files: Map<string, Buffer>, { path, headers }: DavRequest, answer: ServerResponse): void {
  const to = decodeURIComponent(new URL(String(headers.destination)).pathname);
  const [file, before] = [files.get(path) as Buffer, files.get(to)];
  if (before && headers.overwrite === 'F') return void say(answer, 412);
  files.set(to, file);
  files.delete(path);
  say(answer, before ? 204 : 201);
}

function get(file: Buffer, range: string, answer: ServerResponse): void {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? [];
  if (first === undefined) return void say(answer, 200, file);
  const part = file.subarray(Number(first), Number(last) + 1);
  if (part.length === 0) return void say(answer, 416);
  const end = Number(first) + part.length - 1;
  say(answer, 206, part, { 'content-range': `bytes ${first}-${end}/${file.length}` });
}

function put(files: Map<string, Buffer>, { path, headers, body }: DavRequest, answer: ServerResponse): void {
  const before = files.get(path);
  if (headers['if-none-match'] === '*' && before) return void say(answer, 412);
  const [, first] = /^bytes (\d+)-/.exec(headers['content-range'] ?? '') ?? [];
  const whole = Buffer.alloc(
    first === undefined ? body.length : Math.max(before?.length ?? 0, Number(first) + body.length),
  );
  if (first !== undefined) before?.copy(whole);
  body.copy(whole, Number(first ?? 0));
  files.set(path, whole);
  say(answer, before ? 204 : 201);
}

function propertiesOf(file: Buffer): string {
  const sum = file.reduce((total, byte, at) => (total * 31 + byte + at) >>> 0, 7);
  const etag = `<D:getetag>&quot;${sum}&quot;</D:getetag>`;
  return `<D:resourcetype/><D:getcontentlength>${file.length}</D:getcontentlength>${etag}`;
}
