/** What the tests of the fast way share: a server of bytes, and a plain way that only notes what is left to it. */
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { afterEach } from 'vitest';
import type { Source } from '../../../../src/core/endpoint.js';
import type { HttpClient, HttpRequest } from '../../../../src/endpoint/http/exchange.js';
import { FastClient } from '../../../../src/endpoint/http/fast.js';
import { attachHttpSource } from '../../../../src/endpoint/http.js';
import { goodHead, type RawRequest, type RawServer, serveRaw } from '../../../support/raw-server.js';
import { disk } from './helpers.js';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** The plain way, as far as it matters here: which requests were left to it. */
export class PlainRecorder implements HttpClient {
  readonly asked: HttpRequest[] = [];

  dispatch(request: HttpRequest, handler: Dispatcher.DispatchHandler): boolean {
    this.asked.push(request);
    handler.onResponseError?.(undefined as never, Object.assign(new Error('left'), { code: 'LEFT_TO_PLAIN' }));
    return true;
  }
}

interface Rig {
  readonly server: RawServer;
  readonly source: Source;
  readonly client: FastClient;
  readonly plain: PlainRecorder;
}

export async function rig(
  answer: (socket: Socket, request: RawRequest) => unknown,
  { silenceMsMax = 30_000, size = disk.length, host = '127.0.0.1' } = {},
): Promise<Rig> {
  const server = await serveRaw(answer);
  const plain = new PlainRecorder();
  const client = new FastClient(plain, { silenceMsMax });
  cleanups.push(
    () => server.stop(),
    () => client.destroy(),
  );
  const url = `${server.url.replace('127.0.0.1', host)}/disk.img?a=b`;
  const version = { strength: 'strong', value: 'etag "v1"' };
  const access = { origin: new URL(url).origin, headers: {}, tls: {}, proxies: {} };
  const ref = { scheme: 'http', url, finalUrl: url, access, size, version, validator: '"v1"' };
  return { server, plain, client, source: attachHttpSource(ref as never, { client }) };
}

const body = ({ range }: RawRequest): Buffer => disk.subarray(range.first, range.last + 1);
export const whole = (request: RawRequest): Buffer =>
  Buffer.concat([Buffer.from(goodHead(request, disk.length)), body(request)]);
export const good = (socket: Socket, request: RawRequest): unknown => socket.write(whole(request));
