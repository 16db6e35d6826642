/**
 * Asks for a secret on the terminal itself, whatever standard input and output are, and shows nothing of it. Secrets
 * never come by arguments, which every process of a machine can see.
 */
import { openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { TransferError } from '../../core/errors.js';

const SECRET_CHARACTERS_MAX = 4096;
const [CTRL_C, CTRL_D, CTRL_U, BACKSPACE, DELETE] = ['\x03', '\x04', '\x15', '\b', '\x7f'];

/** Undefined: there is no terminal, or nothing was answered. @throws TransferError E_STOPPED on Ctrl-C */
export async function askSecret(question: string, signal: AbortSignal): Promise<string | undefined> {
  const fd = openTerminal();
  if (fd === undefined) return undefined;
  const terminal = new ReadStream(fd);
  try {
    terminal.setRawMode(true);
    writeSync(fd, `\r\x1b[K${question}: `);
    return await readSecret(terminal, signal);
  } finally {
    terminal.setRawMode(false);
    writeSync(fd, '\r\n');
    // Closes the descriptor, too.
    terminal.destroy();
  }
}

function openTerminal(): number | undefined {
  try {
    return openSync('/dev/tty', 'r+');
  } catch {
    // A process without a terminal is told so by this very failure.
    return undefined;
  }
}

function readSecret(terminal: ReadStream, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let typed = '';
    const given = (): void => resolve(undefined);
    signal.addEventListener('abort', given, { once: true });
    terminal.setEncoding('utf8');
    terminal.on('error', reject);
    terminal.on('end', given);
    terminal.on('data', (text: string) => {
      for (const character of text) {
        if (character === CTRL_C) {
          process.kill(process.pid, 'SIGINT');
          return reject(new TransferError('E_STOPPED', 'stopped at the question for a secret'));
        }
        if (character === '\r' || character === '\n') return resolve(typed);
        if (character === CTRL_D) return resolve(undefined);
        if (character === CTRL_U) typed = '';
        else if (character === BACKSPACE || character === DELETE) typed = [...typed].slice(0, -1).join('');
        else if (typed.length < SECRET_CHARACTERS_MAX) typed += character;
      }
    });
  });
}
