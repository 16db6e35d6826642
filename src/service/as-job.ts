/**
 * Errors of copies as a job tells them. Their hints are made for whoever has typed a command; a job is resumed instead,
 * and has the options that it was made with.
 */
import { TransferError } from '../core/errors.js';

const WORDS: readonly (readonly [RegExp, string])[] = [
  [/^Say --recursive.*$/, 'A job has files only: copy -r takes a folder with all that is in it.'],
  [/\bSay (--overwrite)/, 'Make a new job with $1'],
  [/\b([Rr])un (?:the same command|it) again/, '$1esume the job'],
  [/\bthe same command (?:then )?(goes|proves|sends)/, 'the job $1'],
];

export function asJob(error: TransferError): TransferError {
  const { code, message, hint, detail, cause } = error;
  if (hint === undefined) return error;
  const words = WORDS.reduce((text, [command, job]) => text.replace(command, job), hint);
  return new TransferError(code, message, { ...detail, hint: words, cause });
}
