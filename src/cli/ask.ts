/** Asks people: on a terminal with a prompt, where secrets are not shown; else a line of the standard input is read. */
import { TransferError } from '../core/errors.js';
import type { Session } from './session.js';

const LINE_BYTES_MAX = 4096;
const INTERRUPT = '\x03';
const END = '\x04';

/** One line, without its end. `secret`: what is typed is not shown. @throws TransferError E_STOPPED, E_USAGE */
export async function ask(session: Session, prompt: string, secret: boolean): Promise<string> {
  const { stdin } = process;
  const typed = stdin.isTTY;
  if (typed) session.err.stream.write(prompt);
  if (typed && secret) stdin.setRawMode(true);
  try {
    return await readLine(typed && secret);
  } finally {
    if (typed && secret) {
      stdin.setRawMode(false);
      session.err.stream.write('\n');
    }
    stdin.pause();
  }
}

/** `raw`: keys come one by one, and none is acted upon by the terminal. */
async function readLine(raw: boolean): Promise<string> {
  const { stdin } = process;
  stdin.setEncoding('utf8');
  let line = '';
  for await (const text of stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
    for (const key of text) {
      if (key === '\n' || key === '\r' || (raw && key === END)) return line;
      if (raw && key === INTERRUPT) throw new TransferError('E_STOPPED', 'stopped; nothing was changed');
      if (raw && (key === '\x7f' || key === '\b')) line = line.slice(0, -1);
      else line += key;
    }
    if (line.length > LINE_BYTES_MAX) {
      throw new TransferError('E_USAGE', 'the answer is too long', { hint: 'Give one line.' });
    }
  }
  return line;
}
