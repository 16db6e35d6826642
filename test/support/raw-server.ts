/** A TCP server for answers that no HTTP library would send: a script writes the bytes itself. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface RawRequest {
  /** The number of this request, from 0. */
  readonly count: number;
  /** The number of its connection, from 0. */
  readonly connection: number;
  /** All of the head, as it was sent. */
  readonly text: string;
  readonly range: { readonly first: number; readonly last: number };
}

export interface RawServer {
  /** Such as `http://127.0.0.1:4711`. */
  readonly url: string;
  readonly asked: readonly RawRequest[];
  readonly accepted: number;
  readonly open: number;
  stop(): Promise<void>;
}

export async function serveRaw(answer: (socket: Socket, request: RawRequest) => unknown, port = 0): Promise<RawServer> {
  const asked: RawRequest[] = [];
  const sockets = new Set<Socket>();
  let accepted = 0;
  const server = createServer((socket) => {
    const connection = accepted++;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Whoever breaks a connection on purpose breaks it for the server too.
    socket.on('error', () => socket.destroy());
    socket.setNoDelay(true);
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      if (!text.endsWith('\r\n\r\n')) return;
      const [, first = 0, last = 0] = /\r\nrange: bytes=(\d+)-(\d+)\r\n/i.exec(text) ?? [];
      const request = { count: asked.length, connection, text, range: { first: Number(first), last: Number(last) } };
      text = '';
      asked.push(request);
      answer(socket, request);
    });
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get accepted() {
      return accepted;
    },
    get open() {
      return sockets.size;
    },
    stop: async () => {
      const closed = once(server.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** The head of a good answer to the range, of a file with this many bytes. */
export function goodHead({ range: { first, last } }: RawRequest, size: number): string {
  return [
    'HTTP/1.1 206 Partial Content',
    `Content-Length: ${last - first + 1}`,
    `Content-Range: bytes ${first}-${last}/${size}`,
    'ETag: "v1"',
    '\r\n',
  ].join('\r\n');
}
