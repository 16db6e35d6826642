/** Calls between two threads: each side has deeds that the other may ask for. */
import type { MessagePort, Worker } from 'node:worker_threads';
import { type ErrorJson, TransferError } from './errors.js';

/** For each name what is given and what is answered. */
export type Deeds = Readonly<Record<string, (request: never) => unknown>>;
type Asked<D extends Deeds, N extends keyof D> = Awaited<ReturnType<D[N]>>;
type Given<D extends Deeds, N extends keyof D> = Parameters<D[N]>[0];

type Message =
  | { readonly id: number; readonly name: string; readonly request: unknown }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: ErrorJson };

interface Waiting {
  readonly resolve: (value: never) => void;
  readonly reject: (error: TransferError) => void;
}

export class ThreadLink<Theirs extends Deeds> {
  readonly #port: MessagePort | Worker;
  readonly #deeds: Deeds;
  readonly #waiting = new Map<number, Waiting>();
  #asked = 0;
  #ended: TransferError | undefined;

  constructor(port: MessagePort | Worker, deeds: Deeds) {
    this.#port = port;
    this.#deeds = deeds;
    port.on('message', (message: Message | 'ready') => {
      if (message !== 'ready') this.#onMessage(message);
    });
  }

  ask<N extends keyof Theirs & string>(name: N, request: Given<Theirs, N>): Promise<Asked<Theirs, N>> {
    if (this.#ended) return Promise.reject(this.#ended);
    const id = ++this.#asked;
    const answer = new Promise<Asked<Theirs, N>>((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
    this.#port.postMessage({ id, name, request });
    return answer;
  }

  /** The other side is gone: whoever waits for it is told, and whoever asks from now on. */
  end(reason: TransferError): void {
    this.#ended ??= reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    this.#waiting.clear();
  }

  #onMessage(message: Message): void {
    if ('name' in message) {
      void this.#answer(message);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if ('error' in message) waiting?.reject(TransferError.fromJSON(message.error));
    else waiting?.resolve(message.value as never);
  }

  async #answer({ id, name, request }: Extract<Message, { name: string }>): Promise<void> {
    try {
      const deed = this.#deeds[name];
      if (!deed) throw new TransferError('E_BUG', `a thread was asked for ${name}`);
      this.#port.postMessage({ id, value: await deed(request as never) });
    } catch (thrown) {
      this.#port.postMessage({ id, error: TransferError.from(thrown).toJSON() });
    }
  }
}
