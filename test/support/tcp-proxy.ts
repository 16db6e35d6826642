/**
 * A link that tests own: a TCP proxy of 127.0.0.1 that delays, paces, stalls, cuts and resets what goes through it.
 * All chance comes from a seed. Bytes are never changed, and never come out of order.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { nowMs, systemClock } from '../../src/core/clock.js';
import { KiB, MiB } from '../../src/core/units.js';
import { Seeded } from './seeded.js';

export interface LinkRules {
  /** Each way, so that a round trip takes twice as long. */
  readonly delayMs?: number;
  /** Of each direction, shared by all connections. */
  readonly rateBytesPerSecond?: number;
  /** The share of connections, from 0 to 1, that is reset after some of its answer has come through. */
  readonly resetShare?: number;
  /** A connection that is to be reset is so after at most this many bytes of its answer. */
  readonly resetBytesMax?: number;
  readonly seed?: number;
}

/** What a direction holds while it is under way, beyond what delay and rate make it hold. */
const QUEUE_BYTES = 512 * KiB;
const RESET_BYTES_MAX = 4 * MiB;

/** One direction of the link: all its connections share its rate. */
interface Wire {
  freeAtMs: number;
  bytes: number;
}

/** Carries one direction of one connection. */
class Pipe {
  /** Bytes that have come out of it. */
  passedBytes = 0;
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #link: TcpProxy;
  readonly #wire: Wire;
  readonly #queue: { readonly bytes: Buffer; readonly atMs: number }[] = [];
  #queuedBytes = 0;
  #pumping = false;
  #ended = false;

  constructor(from: Socket, to: Socket, wire: Wire, link: TcpProxy) {
    this.#from = from;
    this.#to = to;
    this.#link = link;
    this.#wire = wire;
    from.on('data', (bytes: Buffer) => this.#take(bytes));
    from.on('end', () => {
      this.#ended = true;
      void this.pump();
    });
  }

  #take(bytes: Buffer): void {
    const { delayMs = 0, rateBytesPerSecond: rate = 0 } = this.#link.rules;
    const now = nowMs(systemClock);
    if (rate > 0) this.#wire.freeAtMs = Math.max(now, this.#wire.freeAtMs) + (bytes.length / rate) * 1000;
    this.#queue.push({ bytes, atMs: (rate > 0 ? this.#wire.freeAtMs : now) + delayMs });
    this.#queuedBytes += bytes.length;
    if (this.#queuedBytes > QUEUE_BYTES + (rate * delayMs) / 1000) this.#from.pause();
    void this.pump();
  }

  /** Sends what is due, one after the other, until nothing is left or the link stalls. */
  async pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let next = this.#queue[0]; next && !this.#link.stalled && !this.#to.destroyed; next = this.#queue[0]) {
      const waitMs = next.atMs - nowMs(systemClock);
      if (waitMs > 0.5) await systemClock.sleep(waitMs);
      if (this.#link.stalled || this.#to.destroyed) break;
      this.#queue.shift();
      this.#queuedBytes -= next.bytes.length;
      this.passedBytes += next.bytes.length;
      this.#wire.bytes += next.bytes.length;
      if (!this.#to.write(next.bytes)) await drained(this.#to);
      if (this.#from.isPaused()) this.#from.resume();
      this.#link.passed();
    }
    this.#pumping = false;
    const all = this.#ended && this.#queue.length === 0 && !this.#link.stalled;
    if (all && !this.#to.destroyed) this.#to.end();
  }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

class Connection {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #answers: Pipe;
  readonly #pipes: readonly Pipe[];
  readonly #resetAtBytes: number;
  #broken = false;

  constructor(near: Socket, far: Socket, link: TcpProxy, resetAtBytes: number) {
    this.#near = near;
    this.#far = far;
    this.#resetAtBytes = resetAtBytes;
    this.#answers = new Pipe(far, near, link.wires.answers, link);
    this.#pipes = [this.#answers, new Pipe(near, far, link.wires.requests, link)];
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.#break(link));
    }
    near.on('close', () => far.destroy());
  }

  /** An end that breaks breaks the other: a link has to tell that, unless nothing passes. */
  #break(link: TcpProxy): void {
    if (link.stalled) this.#broken = true;
    else this.reset();
  }

  /** Both ends learn by a reset that it is over. */
  reset(): void {
    for (const socket of [this.#near, this.#far]) if (!socket.destroyed) socket.resetAndDestroy();
  }

  /** Whether it has carried what it may. */
  isSpent(): boolean {
    return this.#answers.passedBytes >= this.#resetAtBytes;
  }

  pump(): void {
    if (this.#broken) this.reset();
    else for (const pipe of this.#pipes) void pipe.pump();
  }
}

export class TcpProxy {
  rules: LinkRules;
  readonly wires: Readonly<Record<'requests' | 'answers', Wire>> = {
    requests: { freeAtMs: 0, bytes: 0 },
    answers: { freeAtMs: 0, bytes: 0 },
  };
  /** Connections that were taken, and those that were reset by chance. */
  accepted = 0;
  resets = 0;
  readonly #server: Server;
  readonly #connections = new Set<Connection>();
  readonly #seeded: Seeded;
  readonly #to: { readonly host: string; readonly port: number };
  #down = false;
  #stalled = false;

  private constructor(to: { readonly host: string; readonly port: number }, rules: LinkRules) {
    this.#to = to;
    this.rules = rules;
    this.#seeded = new Seeded(rules.seed ?? 1);
    this.#server = createServer({ allowHalfOpen: true }, (near) => this.#accept(near));
  }

  static async start(to: number | { readonly host: string; readonly port: number }, rules: LinkRules = {}) {
    const proxy = new TcpProxy(typeof to === 'number' ? { host: '127.0.0.1', port: to } : to, rules);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** A URL of the server behind it, as it is in front of it. */
  urlFor(url: string): string {
    const own = new URL(url);
    own.host = `127.0.0.1:${this.port}`;
    return own.href;
  }

  /** That went through, both ways together. */
  get bytes(): number {
    return this.wires.requests.bytes + this.wires.answers.bytes;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  /** Bytes have come through: connections that have carried what they may are reset. */
  passed(): void {
    for (const connection of this.#connections) {
      if (!connection.isSpent()) continue;
      this.#connections.delete(connection);
      this.resets++;
      connection.reset();
    }
  }

  /** Resets all connections; new ones are taken. */
  cut(): void {
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  /** Resets all connections, and every new one until the link is up again. */
  down(): void {
    this.#down = true;
    this.cut();
  }

  up(): void {
    this.#down = false;
  }

  /** Nothing passes and nothing breaks, as with a host that is gone without a word. */
  stall(): void {
    this.#stalled = true;
  }

  flow(): void {
    this.#stalled = false;
    for (const connection of this.#connections) connection.pump();
  }

  async stop(): Promise<void> {
    const closed = once(this.#server.close(), 'close');
    this.cut();
    await closed;
  }

  #accept(near: Socket): void {
    this.accepted++;
    if (this.#down) {
      near.on('error', () => undefined);
      near.resetAndDestroy();
      return;
    }
    const { resetShare = 0, resetBytesMax = RESET_BYTES_MAX } = this.rules;
    const isReset = this.#seeded.chance(resetShare);
    const resetAtBytes = this.#seeded.int(1, resetBytesMax);
    const far = connect({ ...this.#to, allowHalfOpen: true });
    const connection = new Connection(near, far, this, isReset ? resetAtBytes : Infinity);
    this.#connections.add(connection);
    near.on('close', () => this.#connections.delete(connection));
  }
}
