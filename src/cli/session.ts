/**
 * What one run of the command shares: its two outputs and what has to be put right before it leaves. A reader that goes
 * away (`| head`, a closed terminal) ends the talking and never the work.
 */
import { errnoOf } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';

/** A closed pipe, and a terminal that is gone. */
const READER_LEFT: readonly (string | undefined)[] = ['EPIPE', 'EIO'];
const SHOW_CURSOR = '\x1b[?25h';

export class LineWriter {
  readonly stream: NodeJS.WriteStream;
  #open = true;
  #failure: Error | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.stream = stream;
    stream.on('error', (error) => {
      if (this.#open && !READER_LEFT.includes(errnoOf(error))) this.#failure = error;
      this.#open = false;
    });
  }

  /** What kept lines from being written; a reader that left is no failure. */
  async failure(): Promise<Error | undefined> {
    // Files, terminals and pipes are written at once, but a failure is told in a later turn of the event loop.
    await new Promise((resolve) => setImmediate(resolve));
    return this.#failure;
  }

  get open(): boolean {
    return this.#open;
  }

  /** One line for people; what a terminal would act on is shown and not sent. */
  line(text: string): void {
    if (this.#open) this.stream.write(`${showPath(text)}\n`);
  }

  /** One line that has colours; what a terminal would act on in names was taken out by whoever made it. */
  painted(text: string): void {
    if (this.#open) this.stream.write(`${text}\n`);
  }

  /** One line for programs. */
  json(value: object): void {
    if (this.#open) this.stream.write(`${JSON.stringify(value)}\n`);
  }
}

export class Session {
  /** As typed, names that are not UTF-8 included. */
  args: readonly string[] = [];
  /** Results. */
  readonly out = new LineWriter(process.stdout);
  /** Progress, notes and errors. */
  readonly err = new LineWriter(process.stderr);
  /** A thread would keep the process from ending. */
  stuck = false;
  /** Set while a bar is drawn. */
  cursorHidden = false;

  /** Before a way out that runs no exit handlers. */
  restoreTerminal(): void {
    if (this.cursorHidden && this.err.open) this.err.stream.write(`${SHOW_CURSOR}\n`);
    this.cursorHidden = false;
  }
}
