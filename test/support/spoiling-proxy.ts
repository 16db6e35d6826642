/** A TCP proxy that changes one byte of what the client sends, as a bad cable or a bad memory would. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface SpoilingProxy {
  readonly url: string;
  /** While it is set, the byte is changed on every connection that is made. */
  spoil: boolean;
  stop(): Promise<void>;
}

/** @param at how many bytes of a connection go by before the one that is changed */
export async function spoilingProxy(endpoint: string, at: number): Promise<SpoilingProxy> {
  const { hostname, port } = new URL(endpoint);
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  };
  const proxy = { spoil: false };
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    keep(client);
    keep(upstream);
    let seen = 0;
    client.on('data', (bytes) => {
      const place = at - seen;
      if (proxy.spoil && place >= 0 && place < bytes.length) bytes[place] = (bytes[place] as number) ^ 1;
      seen += bytes.length;
      upstream.write(bytes);
    });
    upstream.pipe(client);
    client.on('close', () => upstream.destroy());
    upstream.on('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const stop = async (): Promise<void> => {
    const closed = once(server.close(), 'close');
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(proxy, { url, stop });
}
