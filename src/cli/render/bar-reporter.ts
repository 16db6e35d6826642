/**
 * The bar on a terminal: a few lines that are drawn over themselves, at most as often as there is progress. Whatever
 * happens, the cursor comes back.
 */
import type { createLogUpdate } from 'log-update';
import stringWidth from 'string-width';
import type { TransferEvent } from '../../core/events.js';
import type { Session } from '../session.js';
import { type Reporter, saidOf, type Verb } from './reporter.js';
import { type MapView, Screen } from './screen.js';

const COLUMNS_DEFAULT = 80;
const ROWS_DEFAULT = 24;
const UP_AND_ERASE = '\x1b[1A\x1b[2K';

export class BarReporter implements Reporter {
  readonly #session: Session;
  readonly #screen: Screen;
  readonly #colour = (process.env.NO_COLOR ?? '') === '';
  #draw: ReturnType<typeof createLogUpdate> | undefined;
  #drawn: readonly string[] = [];
  #ended = false;

  constructor(session: Session, verb: Verb, map?: MapView) {
    this.#session = session;
    this.#screen = new Screen(verb, map);
    session.err.stream.on('resize', this.#resized);
    process.on('SIGTSTP', this.#toBackground);
  }

  async event(event: TransferEvent): Promise<void> {
    this.#screen.see(event);
    const said = saidOf(event);
    if (said !== undefined) this.say(said);
    if (event.type !== 'progress') return;
    // A copy that is over before it was worth a bar does not wait for one to be loaded.
    if (!this.#draw && (event.phase === 'committing' || event.phase === 'done')) return;
    this.#draw ??= (await import('log-update')).createLogUpdate(this.#session.err.stream);
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
    if (!this.#draw || this.#ended || !this.#session.err.open) return;
    const { columns = COLUMNS_DEFAULT, rows = ROWS_DEFAULT } = this.#session.err.stream;
    // The last column stays free: some terminals wrap as soon as it is written.
    const lines = this.#screen.lines({ columns: columns - 1, rows, colour: this.#colour });
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
    const wrapped = this.#drawn.reduce((sum, line) => sum + Math.ceil(stringWidth(line) / columns) - 1, 0);
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
