/**
 * Talks to a QEMU over its monitor (QMP): one JSON object a line, answers found by their ids, events in between. The
 * other side may be gone, silent or broken at any moment: then every call rejects, and none hangs.
 */
import { connect, type Socket } from 'node:net';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { showPath } from '../../platform/path-bytes.js';

/** The longest answers list all nodes of a machine, some hundred bytes each. */
const LINE_BYTES_MAX = 8 * 1024 * 1024;
/** QEMU may be flushing a slow disk while it is asked. */
export const ANSWER_MS_MAX = 60_000;
const SAID_MAX = 500;
/** Stands for an id: it is sent unasked, and first. */
const GREETING = 'greeting';

type Fields = Readonly<Record<string, unknown>>;

interface Waiting {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: TransferError) => void;
}

export class Qmp {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  #line: Buffer[] = [];
  #lineBytes = 0;
  #ids = 0;
  #closed: TransferError | undefined;
  #woken = new AbortController();

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on('data', (bytes) => this.#take(bytes));
    socket.on('error', (cause) => this.#end(gone(cause)));
    socket.on('close', () => this.#end(gone()));
  }

  /**
   * @param path of its socket, which must be there
   * @throws TransferError E_HYPERVISOR when nobody answers there; E_TIMEOUT when somebody else is being answered
   */
  static async open(path: string, clock: Clock, msMax = ANSWER_MS_MAX): Promise<Qmp> {
    const qmp = new Qmp(connect(path), clock);
    try {
      const greeting = new Promise((resolve, reject) => {
        qmp.#waiting.set(GREETING, { command: GREETING, resolve, reject });
      });
      await qmp.#within(greeting, 'its greeting', msMax);
      await qmp.execute('qmp_capabilities', {}, msMax);
      return qmp;
    } catch (thrown) {
      qmp.close();
      throw thrown;
    }
  }

  /** Answers what QEMU returned. @throws TransferError E_HYPERVISOR with what it said against it */
  async execute<T = unknown>(command: string, args: Fields = {}, msMax = ANSWER_MS_MAX): Promise<T> {
    const id = `${++this.#ids}`;
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#closed) return reject(this.#closed);
      this.#waiting.set(id, { command, resolve, reject });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    });
    try {
      return (await this.#within(answer, `an answer to ${command}`, msMax)) as T;
    } finally {
      this.#waiting.delete(id);
    }
  }

  /** Resolves when something happened, or after `ms`: for whoever looks again then. */
  async eventOr(ms: number): Promise<void> {
    await this.#clock.sleep(ms, this.#woken.signal);
    if (this.#closed) throw this.#closed;
  }

  get isOpen(): boolean {
    return this.#closed === undefined;
  }

  close(): void {
    this.#end(gone());
    this.#socket.destroy();
  }

  async #within<T>(answer: Promise<T>, what: string, msMax: number): Promise<T> {
    const settled = new AbortController();
    const late = this.#clock.sleep(msMax, settled.signal).then((): never => {
      throw new TransferError('E_TIMEOUT', `QEMU has not given ${what} for ${Math.round(msMax / 1000)} s`, {
        hint: 'See whether the host or its storage hangs. The machine is left as it is.',
      });
    });
    // Who loses the race is heard by nobody.
    late.catch(() => undefined);
    return Promise.race([answer, late]).finally(() => settled.abort());
  }

  #take(bytes: Buffer): void {
    let rest = bytes;
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      const line = Buffer.concat([...this.#line, rest.subarray(0, end)]);
      rest = rest.subarray(end + 1);
      [this.#line, this.#lineBytes] = [[], 0];
      this.#hear(line);
      if (this.#closed) return;
    }
    this.#lineBytes += rest.length;
    if (rest.length > 0) this.#line.push(rest);
    if (this.#lineBytes > LINE_BYTES_MAX) this.#break('a line that does not end');
  }

  #hear(line: Buffer): void {
    const fields = line.length > LINE_BYTES_MAX ? undefined : objectIn(line);
    if (!fields) this.#break('a line that is no object, or too long');
    else if ('event' in fields) {
      this.#woken.abort();
      this.#woken = new AbortController();
    } else if ('QMP' in fields) this.#waiting.get(GREETING)?.resolve(undefined);
    else this.#answer(fields);
  }

  #answer({ id, error, return: value }: Fields): void {
    // Where there is none, the call has given up.
    const waiting = typeof id === 'string' ? this.#waiting.get(id) : undefined;
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(refused(waiting.command, descriptionOf(error)));
  }

  #break(what: string): void {
    this.#end(hypervisorError(`QEMU is not understood: it sent ${what}`));
    this.#socket.destroy();
  }

  #end(error: TransferError): void {
    if (this.#closed) return;
    this.#closed = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#woken.abort();
  }
}

function objectIn(line: Buffer): Fields | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Fields) : undefined;
  } catch {
    // No JSON, and so no object.
    return undefined;
  }
}

function descriptionOf(error: unknown): string {
  const { desc } = (error ?? {}) as { readonly desc?: unknown };
  return typeof desc === 'string' ? desc : 'it says no reason';
}

const hypervisorError = (message: string, cause?: unknown): TransferError =>
  new TransferError('E_HYPERVISOR', message, {
    hint: 'See the log of the machine, qemu.log in its folder. Its images are kept.',
    ...(cause !== undefined && { cause }),
  });

/** A full storage has a code of its own, since something can be done about it. */
export function refused(command: string, desc: string): TransferError {
  const said = showPath(desc.slice(0, SAID_MAX));
  if (!said.includes('No space left on device')) return hypervisorError(`QEMU refuses ${command}: ${said}`);
  return new TransferError('E_NO_SPACE', `QEMU refuses ${command}: ${said}`, {
    hint: 'Free some space there, and run the same command again. The machine is left as it is.',
  });
}

function gone(cause?: unknown): TransferError {
  return hypervisorError('the connection to QEMU has ended', cause);
}
