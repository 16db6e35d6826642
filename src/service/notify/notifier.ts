/**
 * Tells the outside that a job changed its state: a program of the user's is run, and a webhook is called. Each job has
 * a queue for either, and each program and each host a few turns at once: what hangs holds up nothing but its own.
 */
import { setMaxListeners } from 'node:events';
import type { Agent } from 'undici';
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { JobState, StateEvent } from '../../core/events.js';
import { withRetry } from '../../transfer/retry.js';
import type { Job, Webhook } from '../job.js';
import type { Told } from '../told.js';
import { AtOnce } from './at-once.js';
import { commandEnvironment, runCommand } from './command.js';
import { callWebhook } from './webhook.js';

export interface NotifierParts {
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
  /** Hears what could not be delivered, as a sentence for the job's owner. */
  readonly note: (job: string, sentence: string) => void;
}

const HEARD: ReadonlySet<JobState> = new Set(['transferred', 'acknowledged', 'cancelled', 'error']);
/** Of one job; a hook that hangs for hours hears the newest. */
const WAITING_MAX = 16;
/** Of one program, or of one host. */
const AT_ONCE = 4;
/** A host that restarts is back after these: four minutes at most, two by the mean. */
const WEBHOOK_RETRIES = { attemptsMax: 8, firstDelayMs: 2_000, delayMsMax: 300_000 } as const;
/** A program that fails is rarely cured by time. */
const COMMAND_RETRIES = { attemptsMax: 4, firstDelayMs: 5_000, delayMsMax: 60_000 } as const;
/** For what is under way when the service ends. */
export const CLOSE_MS = 5_000;

interface Delivery {
  readonly job: string;
  readonly state: JobState;
  /** What it shares its turns with. */
  readonly way: string;
  readonly retries: { readonly attemptsMax: number; readonly firstDelayMs: number; readonly delayMsMax: number };
  readonly attempt: () => Promise<void>;
}

export class Notifier {
  readonly #parts: NotifierParts;
  readonly #ways = new AtOnce(AT_ONCE);
  readonly #queues = new Map<string, Delivery[]>();
  readonly #running = new Set<Promise<void>>();
  /** No more is begun; and what is under way is ended. */
  readonly #closing = new AbortController();
  readonly #ending = new AbortController();
  #agent: Promise<Agent> | undefined;

  constructor(parts: NotifierParts) {
    this.#parts = parts;
    // As many deliveries as there are jobs may listen.
    setMaxListeners(0, this.#closing.signal, this.#ending.signal);
  }

  /** Returns at once. What is no state of a whole job, or a state that nobody waits for, is left out. */
  tell(job: Job, told: Told): void {
    const { event } = told;
    if (event.type !== 'state' || told.file !== undefined || !HEARD.has(event.state)) return;
    const { notify, webhook } = job;
    if (notify?.[0]) this.#add(`${job.id} command`, this.#command(job, notify, event));
    if (webhook) this.#add(`${job.id} webhook`, this.#webhook(job, webhook, told, event));
  }

  /** Gives what is under way a moment, and ends it then; what was not told is noted. */
  async close(): Promise<void> {
    this.#closing.abort();
    const told = new AbortController();
    await Promise.race([Promise.all(this.#running), this.#parts.clock.sleep(CLOSE_MS, told.signal)]);
    told.abort();
    this.#ending.abort();
    await Promise.all(this.#running);
    await (await this.#agent)?.destroy();
  }

  #command(job: Job, argv: readonly string[], event: StateEvent): Delivery {
    const env = commandEnvironment(job, event);
    const limits = { clock: this.#parts.clock, signal: this.#ending.signal };
    const attempt = () => runCommand(argv, env, limits);
    return { job: job.id, state: event.state, way: argv[0] ?? '', retries: COMMAND_RETRIES, attempt };
  }

  #webhook(job: Job, webhook: Webhook, told: Told, { state }: StateEvent): Delivery {
    const body = JSON.stringify(told);
    const limits = { clock: this.#parts.clock, signal: this.#ending.signal };
    const attempt = async () => callWebhook(webhook, body, { ...limits, dispatcher: await this.#connections() });
    const way = URL.canParse(webhook.url) ? new URL(webhook.url).origin : '';
    return { job: job.id, state, way, retries: WEBHOOK_RETRIES, attempt };
  }

  #add(key: string, delivery: Delivery): void {
    const queue = this.#queues.get(key);
    if (!queue) {
      this.#queues.set(key, [delivery]);
      const running = this.#deliverAll(key).finally(() => this.#running.delete(running));
      this.#running.add(running);
      return;
    }
    queue.push(delivery);
    if (queue.length <= WAITING_MAX) return;
    const [oldest] = queue.splice(1, 1);
    if (oldest) this.#note(oldest, 'too many others wait before it');
  }

  /** The first in the queue is the one under way. */
  async #deliverAll(key: string): Promise<void> {
    const queue = this.#queues.get(key) ?? [];
    for (let next = queue[0]; next; queue.shift(), next = queue[0]) await this.#deliver(next);
    this.#queues.delete(key);
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const { clock, random } = this.#parts;
    const { way, attempt, retries } = delivery;
    const signal = this.#closing.signal;
    try {
      const work = () => this.#ways.take(way, signal, attempt);
      await withRetry(work, { clock, random, signal, ...retries, onRetry: () => undefined });
    } catch (thrown) {
      const { message, hint } = TransferError.from(thrown);
      this.#note(delivery, signal.aborted ? 'the service ends' : `${message}${hint ? `. ${hint}` : ''}`);
    }
  }

  #note({ job, state }: Delivery, reason: string): void {
    this.#parts.note(job, `Nobody was told of the state "${state}": ${reason}`);
  }

  #connections(): Promise<Agent> {
    this.#agent ??= import('undici').then(({ Agent }) => new Agent({ connections: AT_ONCE, pipelining: 1 }));
    return this.#agent;
  }
}
