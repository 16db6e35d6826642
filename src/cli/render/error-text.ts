/** An error as lines for people: what happened, what to do next, and, where it is a bug, what is behind it. */
import type { TransferError } from '../../core/errors.js';

export function errorLines(error: TransferError, debug: boolean): string[] {
  const { hint, cause } = error.toJSON();
  const lines = [`blockferry: ${error.message}`];
  if (hint) lines.push(...indented(hint));
  if (error.code === 'E_BUG' || debug) {
    lines.push(...indented(`code: ${error.code}`));
    if (cause) lines.push(...indented(`cause: ${cause}`));
    if (error.stack && debug) lines.push(...indented(error.stack));
  }
  return lines;
}

function indented(text: string): string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`);
}
