/** What the demo prints: numbered steps, one moving line on a terminal, and plain lines everywhere else. */
import { styleText } from 'node:util';
import type { ProgressEvent } from '../src/core/events.js';
import { formatBytes, formatRate } from '../src/core/units.js';

const BAR_CELLS = 24;
type Style = 'bold' | 'dim' | 'green' | 'yellow';

export class Printer {
  readonly #out: NodeJS.WriteStream;
  readonly #colour: boolean;
  #steps = 0;
  #moving = false;
  #quarter = 0;

  constructor(out: NodeJS.WriteStream) {
    this.#out = out;
    const { NO_COLOR, TERM } = process.env;
    this.#colour = out.isTTY === true && !NO_COLOR && TERM !== 'dumb';
  }

  /** A heading with a number of its own. */
  step(title: string): void {
    this.#steps++;
    this.line('');
    this.line(this.#paint('bold', `${this.#steps}. ${title}`));
    this.#quarter = 0;
  }

  line(text: string): void {
    this.#write(`${this.#endMoving()}${text}\n`);
  }

  note(text: string): void {
    this.line(`   ${text}`);
  }

  good(text: string): void {
    this.line(`   ${this.#paint('green', 'ok')}  ${text}`);
  }

  warn(text: string): void {
    this.line(`   ${this.#paint('yellow', text)}`);
  }

  command(args: readonly string[]): void {
    this.line(`   ${this.#paint('dim', `$ blockferry ${args.join(' ')}`)}`);
  }

  /** What a command printed, set off from our own words. */
  quote(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.line(`   ${this.#paint('dim', '|')} ${line}`);
  }

  /** A moving bar on a terminal; elsewhere one line for each quarter. */
  progress(event: ProgressEvent): void {
    const part = event.bytesTotal === 0 ? 1 : event.bytesDone / event.bytesTotal;
    const amount = `${formatBytes(event.bytesDone)} of ${formatBytes(event.bytesTotal)}`;
    const text = `${String(Math.floor(part * 100)).padStart(3)} %  ${amount}  ${formatRate(event.rateBytesPerSecond)}`;
    if (this.#out.isTTY === true) {
      const cells = Math.floor(part * BAR_CELLS);
      const bar = `[${'#'.repeat(cells)}${'.'.repeat(BAR_CELLS - cells)}]`;
      this.#write(`\r${`   ${bar} ${text}`.slice(0, (this.#out.columns ?? 80) - 1)}\x1b[K`);
      this.#moving = true;
    } else if (Math.floor(part * 4) > this.#quarter) {
      this.#quarter = Math.floor(part * 4);
      this.note(text);
    }
  }

  /** Two columns under a heading. */
  table(title: string, rows: readonly (readonly [string, string])[]): void {
    const width = Math.max(...rows.map(([name]) => name.length)) + 2;
    this.line('');
    this.line(this.#paint('bold', title));
    for (const [name, value] of rows) this.note(`${name.padEnd(width)}${value}`);
  }

  #endMoving(): string {
    if (!this.#moving) return '';
    this.#moving = false;
    return '\n';
  }

  #paint(style: Style, text: string): string {
    return this.#colour ? styleText(style, text) : text;
  }

  #write(text: string): void {
    this.#out.write(text);
  }
}
