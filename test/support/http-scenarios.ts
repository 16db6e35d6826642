/**
 * What nginx won't do on demand: msw handlers behind a real socket. A scenario answers as a good file server would, and
 * then spoils one thing; bytes, breaks and connections are real.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getResponse, type HttpHandler, HttpResponse, http } from 'msw';

/** What the client asked: one entry for each request, in order. */
export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
}

export interface ScenarioServer {
  /** Such as `http://127.0.0.1:4711`. */
  readonly url: string;
  readonly asked: readonly Asked[];
  /** Requests whose answer has neither ended nor been broken off. */
  readonly underWay: number;
  /** Connections that were ever accepted. */
  readonly accepted: number;
  stop(): Promise<void>;
}

/** Serves msw handlers. A body that errors breaks the connection where it stands, `HttpResponse.error()` at once. */
export async function serveHandlers(...handlers: HttpHandler[]): Promise<ScenarioServer> {
  const asked: Asked[] = [];
  let underWay = 0;
  let accepted = 0;
  const server = createServer((incoming, outgoing) => {
    const request = toRequest(incoming);
    asked.push({ method: request.method, path: incoming.url ?? '/', headers: request.headers });
    underWay++;
    outgoing.once('close', () => underWay--);
    answer(handlers, request, outgoing).catch(() => outgoing.destroy());
  });
  server.on('connection', () => accepted++);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get underWay() {
      return underWay;
    },
    get accepted() {
      return accepted;
    },
    stop: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function toRequest(incoming: IncomingMessage): Request {
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) headers.set(name, String(value));
  return new Request(`http://${incoming.headers.host}${incoming.url}`, { method: incoming.method ?? 'GET', headers });
}

async function answer(handlers: HttpHandler[], request: Request, outgoing: ServerResponse): Promise<void> {
  const response = (await getResponse(handlers, request)) ?? new Response(null, { status: 404 });
  if (response.type === 'error') throw new Error('scripted network error');
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.flushHeaders();
  if (response.body !== null) {
    const closed = new Promise((resolve) => outgoing.once('close', resolve));
    for await (const bytes of response.body) {
      // Each write reaches the kernel before the next step, so that a cut comes just where the scenario says.
      await Promise.race([new Promise((resolve) => outgoing.write(bytes, resolve)), closed]);
      if (outgoing.destroyed) return;
    }
  }
  outgoing.end();
}

/** One answer of the good file server, before it is spoilt. */
export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Uint8Array | ReadableStream<Uint8Array>;
}

/** `count` is the number of this request, from 0, and `range` what it asked for. */
export type Spoil = (
  answer: Answer,
  asked: { readonly count: number; readonly range?: { readonly first: number; readonly last: number } },
) => Answer | Response | Promise<Answer | Response>;

/** A file at any path of the server, with ranges, a strong ETag and a date; `spoil` may change each answer. */
export function fileHandler(bytes: Uint8Array, spoil: Spoil = (good) => good, path = '*'): HttpHandler {
  let count = 0;
  return http.get(path, async ({ request }) => {
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '');
    const range = match ? { first: Number(match[1]), last: Number(match[2]) } : undefined;
    const body = range ? bytes.subarray(range.first, range.last + 1) : bytes;
    const good: Answer = {
      status: range ? 206 : 200,
      headers: {
        'content-length': String(body.length),
        etag: '"v1"',
        'last-modified': 'Tue, 01 Jul 2025 10:00:00 GMT',
        ...(range ? { 'content-range': `bytes ${range.first}-${range.last}/${bytes.length}` } : {}),
      },
      body,
    };
    const spoilt = await spoil(good, { count: count++, ...(range ? { range } : {}) });
    if (spoilt instanceof Response) return spoilt as HttpResponse<null>;
    return new HttpResponse(spoilt.body as ConstructorParameters<typeof Response>[0], {
      status: spoilt.status,
      headers: spoilt.headers,
    });
  });
}

/** A body that gives these bytes and then breaks the connection. */
export function cutAfter(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let given = false;
  return new ReadableStream({
    pull(controller) {
      if (given) controller.error(new Error('scripted cut'));
      else controller.enqueue(bytes);
      given = true;
    },
  });
}

/** A body that gives these bytes and then nothing more, with the connection open. */
export function stallAfter(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(bytes) });
}

/** The headers without one of them. */
export function without(headers: Record<string, string>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));
}
