/** A client of a peer that says what it is told to, byte for byte: what no Blockferry would ever send. */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import { FRAME, frame } from '../../src/core/frames.js';
import { PROTOCOL, PROTOCOL_HEADER } from '../../src/core/peer-wire.js';
import type { PeerHost } from './peer-host.js';

export interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

export async function rawSocket(port: number): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
  socket.on('error', () => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

/** Sends it and waits for one answer, or for the end of the connection: status 0. */
export async function rawExchange(port: number, request: string | Buffer): Promise<RawAnswer> {
  const socket = await rawSocket(port);
  try {
    socket.write(request);
    return await rawAnswer(socket);
  } finally {
    socket.destroy();
  }
}

export function rawAnswer(socket: TLSSocket): Promise<RawAnswer> {
  return new Promise((resolve) => {
    let text = '';
    const look = (): void => {
      const end = text.indexOf('\r\n\r\n');
      if (end === -1) return;
      const head = text.slice(0, end);
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0);
      const body = text.slice(end + 4);
      if (body.length < length) return;
      resolve({ status: Number(/^HTTP\/1.1 (\d+)/.exec(head)?.[1] ?? 0), head, body });
    };
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
      look();
    });
    socket.once('close', () => resolve({ status: 0, head: text, body: '' }));
  });
}

/** The head of a request as a Blockferry sends it, without its last line. */
export function headOf(method: string, path: string, token: string): string {
  const lines = ['host: peer', `authorization: Bearer ${token}`, `${PROTOCOL_HEADER}: ${PROTOCOL}`];
  return `${method} ${path} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}`;
}

export interface CallAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of all kinds.
  readonly answer: any;
}

export async function rawCall(
  { port, token }: Pick<PeerHost, 'port' | 'token'>,
  call: string,
  message: unknown,
): Promise<CallAnswer> {
  const body = typeof message === 'string' ? message : JSON.stringify(message);
  const head = `${headOf('POST', `/v1/${call}`, token)}content-length: ${Buffer.byteLength(body)}\r\n\r\n`;
  const { status, body: answered } = await rawExchange(port, head + body);
  return { status, answer: answered === '' ? undefined : JSON.parse(answered) };
}

/** A body of frames, as one HTTP chunk each. */
export function chunked(...frames: readonly Uint8Array[]): Buffer {
  const chunk = (bytes: Uint8Array): Buffer =>
    Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n')]);
  return Buffer.concat([...frames.map(chunk), Buffer.from('0\r\n\r\n')]);
}

export const dataFrame = (bytes: Uint8Array): Buffer => frame(FRAME.data, bytes);
export const endFrame = (digest: Uint8Array): Buffer => frame(FRAME.end, digest);
