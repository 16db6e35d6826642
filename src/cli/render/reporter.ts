/**
 * Tells people how a run goes, on the standard error: a bar on a terminal, a line now and then elsewhere. Whoever asked
 * for JSON or for quiet gets neither.
 */
import type { FileEvent, LimitEvent, ProgressEvent, RetryEvent, TransferEvent } from '../../core/events.js';
import { formatDuration } from '../../core/units.js';
import type { OutputFlags } from '../option-values.js';
import type { Session } from '../session.js';
import { doingText, plainLine } from './progress-text.js';
import type { MapView } from './screen.js';

export interface Reporter {
  event(event: TransferEvent): Promise<void>;
  /** One line, above the bar where there is one. */
  say(line: string): void;
  /** Nothing of the bar is left afterwards. May be called again. */
  end(): void;
}

export type Verb = 'copying' | 'comparing' | 'hashing' | 'merging';

const PLAIN_EVERY_MS = 5000;
/** A reason that changes all the time reads as noise. */
const REASON_HOLDS_MS = 1000;

/** @param map the chunks of the one file that is copied, where it is one */
export async function createReporter(
  session: Session,
  verb: Verb,
  flags: OutputFlags,
  map?: MapView,
): Promise<Reporter> {
  if (flags.json) return jsonReporter(session);
  if (flags.quiet) return quietReporter(session);
  // Serial consoles and some containers have terminals without a size.
  const { isTTY, columns, rows } = session.err.stream;
  if (!isTTY || !columns || !rows || process.env.TERM === 'dumb') return new PlainReporter(session, verb);
  const { BarReporter } = await import('./bar-reporter.js');
  return new BarReporter(session, verb, map);
}

const nothing = (): undefined => undefined;

/** Nothing but errors; what became of a file that was left out is one. */
function quietReporter({ err }: Session): Reporter {
  const event = async (told: TransferEvent): Promise<void> => {
    const said = told.type === 'file' ? fileText(told) : undefined;
    if (said !== undefined) err.line(said);
  };
  return { event, say: nothing, end: nothing };
}

/** Events for programs; what people have to know goes to the standard error. */
function jsonReporter({ out, err }: Session): Reporter {
  return { event: async (event) => out.json(event), say: (line) => err.line(line), end: nothing };
}

class PlainReporter implements Reporter {
  readonly #session: Session;
  readonly #verb: Verb;
  readonly #limit = new CalmLimit();
  #saidAt: number | undefined;

  constructor(session: Session, verb: Verb) {
    this.#session = session;
    this.#verb = verb;
  }

  async event(event: TransferEvent): Promise<void> {
    this.#limit.see(event);
    const said = saidOf(event);
    if (said !== undefined) this.say(said);
    if (event.type === 'progress') this.#progress(event);
  }

  #progress(progress: ProgressEvent): void {
    this.#saidAt ??= progress.at;
    if (progress.at - this.#saidAt < PLAIN_EVERY_MS) return;
    this.#saidAt = progress.at;
    this.say(plainLine(progress, doingText(progress, this.#verb), this.#limit.of(progress)));
  }

  say(line: string): void {
    this.#session.err.line(line);
  }

  readonly end = nothing;
}

/** The limit that is shown: the newest, but each is left to stand for a while. */
export class CalmLimit {
  #newest: LimitEvent | undefined;
  #shown: LimitEvent | undefined;
  #shownSince = Number.NEGATIVE_INFINITY;

  see(event: TransferEvent): void {
    if (event.type === 'limit') this.#newest = event;
  }

  /** What is done is held back by nothing. */
  of({ at, phase }: Pick<ProgressEvent, 'at' | 'phase'>): LimitEvent | undefined {
    if (this.#shown !== this.#newest && at - this.#shownSince >= REASON_HOLDS_MS) {
      this.#shown = this.#newest;
      this.#shownSince = at;
    }
    return phase === 'done' ? undefined : this.#shown;
  }
}

/** What an event says in a line of its own; undefined for what the bar shows, and for what nobody has to know. */
export function saidOf(event: TransferEvent): string | undefined {
  if (event.type === 'note') return `note: ${event.message}`;
  if (event.type === 'retry') return retryText(event);
  if (event.type === 'file') return fileText(event);
  // A single step is what was asked for; of several, each is told.
  if (event.type === 'step') return event.steps > 1 && event.state === 'started' ? event.reason : undefined;
  const resumed = event.type === 'state' && event.state === 'transferring' && event.reason !== 'copying';
  return resumed ? event.reason : undefined;
}

function retryText({ chunk, attempt, waitMs, error }: RetryEvent): string {
  const what = chunk === undefined ? '' : `chunk ${chunk}: `;
  return `${what}${error.message}; trying again in ${formatDuration(waitMs)} (retry ${attempt})`;
}

function fileText({ state, path, reason, error }: FileEvent): string | undefined {
  if (state !== 'refused' && state !== 'failed') return undefined;
  const why = reason ?? error?.message ?? 'no reason is known';
  // Most reasons begin with the name themselves.
  return why.startsWith(path) ? `${state}: ${why}` : `${state}: ${path}: ${why}`;
}
