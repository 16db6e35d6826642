/** A proxy of HTTP/1.1 for tests: it forwards requests, opens tunnels, and may want to know who asks. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

export interface ForwardProxy {
  /** Such as `127.0.0.1:4711`. */
  readonly host: string;
  /** What was asked for, in order: `GET http://host/path` or `CONNECT host:port`. */
  readonly asked: readonly string[];
  stop(): Promise<void>;
}

/** @param login `user:password`, without which nothing is forwarded */
export async function startForwardProxy(login?: string): Promise<ForwardProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const isKnown = ({ headers }: IncomingMessage): boolean =>
    login === undefined || headers['proxy-authorization'] === `Basic ${Buffer.from(login).toString('base64')}`;
  const server = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    if (isKnown(incoming)) forward(incoming, outgoing);
    else outgoing.writeHead(407, { 'proxy-authenticate': 'Basic' }).end();
  });
  server.on('connection', keep);
  server.on('connect', (incoming: IncomingMessage, socket: Socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    if (!isKnown(incoming)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    const { hostname, port } = new URL(`http://${incoming.url}`);
    const far = connect(Number(port), hostname, () => {
      socket.write('HTTP/1.1 200 Connected\r\n\r\n');
      far.pipe(socket).pipe(far);
    });
    keep(far);
    far.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n'));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop: async () => {
      const closed = once(server.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { 'proxy-authorization': _, ...headers } = incoming.headers;
  const onward = request(incoming.url ?? '', { method: incoming.method, headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', () => outgoing.writeHead(502).end());
  incoming.pipe(onward);
}
