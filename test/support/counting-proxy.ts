/** A TCP proxy that counts what passes, and can cut all connections. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** Bytes from clients, and to them. */
  readonly sent: number;
  readonly received: number;
  cut(): void;
  stop(): Promise<void>;
}

export async function startProxy(to: number): Promise<TcpProxy> {
  let [sent, received] = [0, 0];
  const sockets = new Set<Socket>();
  const keep = (socket: Socket, other: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => other.destroy());
    socket.on('close', () => {
      sockets.delete(socket);
      other.destroy();
    });
  };
  const server = createServer((client) => {
    const peer = connect(to, '127.0.0.1');
    keep(client, peer);
    keep(peer, client);
    client.on('data', (bytes) => {
      sent += bytes.length;
    });
    peer.on('data', (bytes) => {
      received += bytes.length;
    });
    client.pipe(peer);
    peer.pipe(client);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    get sent() {
      return sent;
    },
    get received() {
      return received;
    },
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    stop: async () => {
      const closed = once(server.close(), 'close');
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
