/**
 * One connection to a peer, for one exchange after the other. Nothing is sent, the token least of all, before the
 * certificate is known to be the right one. Bytes come through one buffer that is used again and again.
 */
import { isIP } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { watchSilence } from '../../core/clock.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { type AnswerHead, HeadReader, keepsConnection, parseHead, plainBodyBytes } from '../http/head.js';
import { type PeerAddress, peerName } from './address.js';

const READ_BYTES = 512 * KiB;
/** What is read ahead of whoever takes it. */
const AHEAD_BYTES_MAX = 256 * KiB;
const CONNECT_MS_MAX = 10_000;
/** Shorter than what the daemon keeps, so that an idle connection is seldom found dead. */
const IDLE_MS_MAX = 30_000;
export const SILENCE_MS_MAX = 60_000;
/** AES-128-GCM is the quickest of them where the processor has it. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/** Work that takes long says so now and then. */
const GOING_ON = 'HTTP/1.1 102 ';

interface Read {
  readonly into: Uint8Array;
  filled: number;
  readonly resolve: (filled: number) => void;
  readonly reject: (error: TransferError) => void;
}

interface HeadWait {
  readonly resolve: (head: AnswerHead) => void;
  readonly reject: (error: TransferError) => void;
}

export class PeerConnection {
  readonly name: string;
  /** Resolves when the peer is known to be the right one. */
  readonly ready: Promise<void>;
  readonly #socket: TLSSocket;
  readonly #onGone: () => void;
  #failure: TransferError | undefined;
  #head: HeadWait | undefined;
  #answered: AnswerHead | undefined;
  #reader = new HeadReader();
  #phase: 'idle' | 'head' | 'body' = 'idle';
  readonly #ahead: Buffer[] = [];
  #aheadBytes = 0;
  /** Bytes of the body that have not come yet. */
  #left = 0;
  #keep = true;
  #read: Read | undefined;

  constructor(address: PeerAddress, onGone: () => void) {
    this.name = `peer://${peerName(address)}`;
    this.#onGone = onGone;
    const own = Buffer.allocUnsafeSlow(READ_BYTES);
    const socket = connect({
      ...trustOf(address),
      ...{ host: address.host, port: address.port, minVersion: 'TLSv1.3', ciphers: CIPHERS },
      ...(isIP(address.host) === 0 && { servername: address.host }),
      ALPNProtocols: ['http/1.1'],
      onread: { buffer: own, callback: (count: number) => this.#onBytes(own.subarray(0, count)) },
    } as ConnectionOptions);
    this.#socket = socket;
    socket.setNoDelay(true);
    watchSilence(socket, CONNECT_MS_MAX);
    socket.on('timeout', () => this.#onSilence());
    socket.on('error', (error) => this.#fail(connectionError(this.name, error)));
    for (const event of ['end', 'close']) socket.on(event, () => this.#fail(connectionLost(this.name)));
    this.ready = new Promise((resolve, reject) => {
      this.#head = { resolve: () => undefined, reject };
      socket.once('secureConnect', () => {
        const wrong = pinBroken(socket, address);
        if (wrong) return this.#fail(wrong);
        this.#head = undefined;
        watchSilence(socket, SILENCE_MS_MAX);
        resolve();
      });
    });
    this.ready.catch(() => undefined);
  }

  get gone(): boolean {
    return this.#failure !== undefined;
  }

  /** Sends the head of a request; with `body` all of that too. */
  begin(head: string, body?: Uint8Array): void {
    this.#phase = 'head';
    this.#reader = new HeadReader();
    this.#answered = undefined;
    this.#socket.ref();
    watchSilence(this.#socket, SILENCE_MS_MAX);
    if (this.#failure === undefined) this.#socket.write(body ? Buffer.concat([Buffer.from(head), body]) : head);
  }

  /** Sends more of the body; the bytes are free again when it resolves. @throws TransferError */
  send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#socket.write(bytes, (error) => {
        if (error) reject(this.#failure ?? connectionError(this.name, error));
        else resolve();
      });
    });
  }

  /** The head of the answer, which may come before all of a body is sent. */
  get early(): AnswerHead | undefined {
    return this.#answered;
  }

  /** The head of the answer. @throws TransferError */
  answer(): Promise<AnswerHead> {
    return new Promise((resolve, reject) => {
      if (this.#answered) return resolve(this.#answered);
      if (this.#failure) return reject(this.#failure);
      this.#head = { resolve, reject };
    });
  }

  /** Fills `into` with bytes of the body; fewer only at its end. */
  read(into: Uint8Array): number | Promise<number> {
    const filled = this.#takeAhead(into);
    if (filled === into.length || this.#left === 0) {
      if (this.#aheadBytes === 0) this.#readOn();
      return filled;
    }
    if (this.#failure) throw this.#failure;
    return new Promise((resolve, reject) => {
      this.#read = { into, filled, resolve, reject };
      this.#readOn();
    });
  }

  /** The exchange is over. False: so is the connection. */
  free(): boolean {
    const inStep = this.#phase === 'body' && this.#left === 0 && this.#aheadBytes === 0 && this.#keep;
    this.#phase = 'idle';
    if (this.#failure) return false;
    if (!inStep) {
      this.drop();
      return false;
    }
    this.#socket.unref();
    watchSilence(this.#socket, IDLE_MS_MAX);
    this.#socket.resume();
    return true;
  }

  /** `why`: what whoever waits for it is told. */
  drop(why?: TransferError): void {
    this.#fail(why ?? connectionLost(this.name));
  }

  #readOn(): void {
    if (this.#failure || !this.#socket.isPaused()) return;
    watchSilence(this.#socket, SILENCE_MS_MAX);
    this.#socket.resume();
  }

  /** TLS gives all that it has decrypted, paused or not, so what nobody waits for is copied. */
  #onBytes(bytes: Buffer): boolean {
    const body = this.#phase === 'head' ? this.#takeHead(bytes) : bytes;
    if (body === undefined || body.length === 0) return this.#failure === undefined;
    if (this.#phase !== 'body' || body.length > this.#left) {
      this.#fail(outOfStep(this.name, 'bytes that nobody asked for'));
      return false;
    }
    this.#left -= body.length;
    let used = 0;
    if (this.#read) {
      used = body.copy(this.#read.into, this.#read.filled);
      this.#read.filled += used;
    }
    if (used < body.length) {
      this.#ahead.push(Buffer.from(body.subarray(used)));
      this.#aheadBytes += body.length - used;
    }
    this.#settleRead();
    if (this.#aheadBytes < AHEAD_BYTES_MAX) return true;
    this.#socket.pause();
    return false;
  }

  #settleRead(): void {
    const read = this.#read;
    if (!read || (read.filled < read.into.length && this.#left > 0)) return;
    this.#read = undefined;
    read.resolve(read.filled);
  }

  #takeHead(bytes: Buffer): Buffer | undefined {
    const rest = this.#reader.take(bytes);
    if (rest === 'more') return undefined;
    if (rest !== 'refused' && this.#reader.text.startsWith(GOING_ON)) {
      this.#reader = new HeadReader();
      return rest.length === 0 ? undefined : this.#takeHead(rest);
    }
    const head = rest === 'refused' ? undefined : parseHead(this.#reader.text);
    const length = head && plainBodyBytes(head);
    if (rest === 'refused' || head === undefined || length === undefined) {
      this.#fail(outOfStep(this.name, 'an answer that no Blockferry sends'));
      return undefined;
    }
    this.#phase = 'body';
    this.#left = length;
    this.#keep = keepsConnection(head);
    this.#answered = head;
    this.#head?.resolve(head);
    this.#head = undefined;
    return rest;
  }

  #takeAhead(into: Uint8Array): number {
    let filled = 0;
    while (filled < into.length) {
      const first = this.#ahead[0];
      if (first === undefined) break;
      const count = first.copy(into, filled);
      filled += count;
      if (count === first.length) this.#ahead.shift();
      else this.#ahead[0] = first.subarray(count);
    }
    this.#aheadBytes -= filled;
    return filled;
  }

  /** While it is our reader who takes its time, the peer is not silent. */
  #onSilence(): void {
    if (this.#phase !== 'idle' && this.#socket.isPaused()) return;
    const what = 'the peer was silent for too long';
    this.#fail(new TransferError('E_TIMEOUT', `${this.name}: ${what}`, { hint: 'Check the network and the peer.' }));
  }

  #fail(error: TransferError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.#socket.destroy();
    this.#head?.reject(error);
    this.#read?.reject(error);
    this.#read = undefined;
    this.#onGone();
  }
}

/** With a pin no authority is asked: the certificate itself is what is trusted. */
function trustOf({ pin, ca }: PeerAddress): ConnectionOptions {
  if (pin !== undefined) return { rejectUnauthorized: false };
  return ca === undefined ? {} : { ca };
}

function pinBroken(socket: TLSSocket, address: PeerAddress): TransferError | undefined {
  if (address.pin === undefined) return undefined;
  const found = fingerprintOf(socket);
  if (found === address.pin) return undefined;
  const name = peerName(address);
  return new TransferError('E_AUTH', `peer://${name} shows another certificate than the pinned one: sha256:${found}`, {
    hint: `Nothing was sent to it. If it was made anew there, say: blockferry peer add peer://${name}`,
  });
}

/** SHA-256 of the certificate that the other side has shown, in hex. */
export function fingerprintOf(socket: TLSSocket): string {
  const { fingerprint256 = '' } = socket.getPeerCertificate();
  return fingerprint256.replaceAll(':', '').toLowerCase();
}

const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/;

export function connectionError(name: string, cause: Error): TransferError {
  const reason = errnoOf(cause) ?? cause.message;
  if (CERTIFICATE.test(reason)) {
    const hint = `Say: blockferry peer add ${name}, and compare the fingerprint; or give pin=sha256:… or ca=FILE.`;
    return new TransferError('E_AUTH', `${name}: nobody vouches for its certificate (${reason})`, { hint, cause });
  }
  const hint = 'Check host, port and network, and that `blockferry serve` runs there.';
  return new TransferError('E_NETWORK', `${name}: the connection failed (${reason})`, { hint, cause });
}

function connectionLost(name: string): TransferError {
  const hint = 'Check the network and the peer.';
  return new TransferError('E_NETWORK', `${name}: the connection was closed`, { hint });
}

function outOfStep(name: string, what: string): TransferError {
  const hint = 'Check what listens there, and what stands between the two hosts.';
  return new TransferError('E_PROTOCOL', `${name}: the peer sent ${what}`, { hint });
}
