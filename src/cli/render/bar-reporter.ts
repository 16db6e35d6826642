/**
 * The bar on a terminal: two lines that are drawn over themselves, at most as often as there is progress. Whatever
 * happens, the cursor comes back.
 */
import type { createLogUpdate } from 'log-update';
import type { ProgressEvent, TransferEvent } from '../../core/events.js';
import type { Session } from '../session.js';
import { barLine, doingText, limitLine, plainColumns } from './progress-text.js';
import { CalmLimit, type Reporter, saidOf, type Verb } from './reporter.js';

const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;
/** Fewer rows leave room for the bar alone. */
const ROWS_FOR_REASON = 4;
const UP_AND_ERASE = '\x1b[1A\x1b[2K';

export class BarReporter implements Reporter {
  readonly #session: Session;
  readonly #verb: Verb;
  readonly #limit = new CalmLimit();
  readonly #colour = (process.env.NO_COLOR ?? '') === '';
  #draw: ReturnType<typeof createLogUpdate> | undefined;
  #progress: ProgressEvent | undefined;
  #drawn: readonly string[] = [];
  #ended = false;

  constructor(session: Session, verb: Verb) {
    this.#session = session;
    this.#verb = verb;
    session.err.stream.on('resize', this.#resized);
    process.on('SIGTSTP', this.#toBackground);
  }

  async event(event: TransferEvent): Promise<void> {
    this.#limit.see(event);
    const said = saidOf(event);
    if (said !== undefined) this.say(said);
    if (event.type !== 'progress') return;
    // A copy that is over before it was worth a bar does not wait for one to be loaded.
    if (!this.#draw && (event.phase === 'committing' || event.phase === 'done')) return;
    this.#draw ??= (await import('log-update')).createLogUpdate(this.#session.err.stream);
    this.#progress = event;
    this.#paint();
  }

  say(line: string): void {
    this.#wipe();
    this.#session.err.line(line);
    this.#paint();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#session.err.stream.off('resize', this.#resized);
    process.off('SIGTSTP', this.#toBackground);
    this.#wipe();
    this.#showCursor();
  }

  #paint(): void {
    if (!this.#draw || !this.#progress || this.#ended || !this.#session.err.open) return;
    const { columns = COLUMNS_DEFAULT, rows = ROWS_DEFAULT } = this.#session.err.stream;
    // The last column stays free: some terminals wrap as soon as it is written.
    const look = { columns: columns - 1, colour: this.#colour };
    const lines = [barLine(this.#progress, look)];
    const doing = doingText(this.#progress, this.#verb);
    if (rows >= ROWS_FOR_REASON) lines.push(limitLine(doing, this.#limit.at(this.#progress.at), look));
    this.#drawn = lines;
    this.#session.cursorHidden = true;
    this.#draw(lines.join('\n'));
  }

  #wipe(): void {
    if (this.#drawn.length === 0 || !this.#session.err.open) return;
    this.#draw?.clear();
    this.#drawn = [];
  }

  #showCursor(): void {
    this.#draw?.done();
    this.#session.cursorHidden = false;
  }

  /** A terminal that became narrower has wrapped the lines that are there, so more of them have to go. */
  readonly #resized = (): void => {
    const columns = this.#session.err.stream.columns ?? COLUMNS_DEFAULT;
    const wrapped = this.#drawn.reduce((sum, line) => sum + Math.ceil(plainColumns(line) / columns) - 1, 0);
    this.#wipe();
    if (wrapped > 0 && this.#session.err.open) this.#session.err.stream.write(UP_AND_ERASE.repeat(wrapped));
    this.#paint();
  };

  /** Ctrl-Z: the shell gets a clean line and its cursor; the next progress after `fg` draws the bar again. */
  readonly #toBackground = (): void => {
    this.#wipe();
    this.#showCursor();
    process.kill(process.pid, 'SIGSTOP');
  };
}
