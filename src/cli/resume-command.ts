/** The command that goes on with an interrupted copy, as a shell would take it. */
import { basename, dirname } from 'node:path';

const SAFE = /^[\w@%+=:,./-]+$/;
/** Controls, and the bytes that are no UTF-8 (see platform/path-bytes). */
const NEEDS_ESCAPES = /[\p{Cc}\p{Cs}]/u;

/** Quoted for a POSIX shell; names that are no plain text need bash, ksh or zsh. */
export function shellQuote(word: string): string {
  if (SAFE.test(word)) return word;
  if (!NEEDS_ESCAPES.test(word)) return `'${word.replaceAll("'", `'\\''`)}'`;
  const escaped = word.replace(/[\\']/g, '\\$&').replace(/[\p{Cc}\p{Cs}]/gu, (character) => {
    return [...characterBytes(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
  });
  return `$'${escaped}'`;
}

function characterBytes(character: string): Uint8Array {
  const unit = character.charCodeAt(0);
  return unit >= 0xdc80 && unit <= 0xdcff ? Uint8Array.of(unit - 0xdc00) : Buffer.from(character);
}

/**
 * Undefined when the arguments hold what should not be printed: a URL may carry a password or a signature. `--discard`
 * is left out, for it would throw away what was just kept.
 */
export function resumeCommand(args: readonly string[], invocation: readonly string[]): string | undefined {
  if (args.some((arg, at) => isHeader(args[at - 1], arg))) return undefined;
  if (args.some((arg) => /^[a-z][a-z0-9+.-]*:\/\/.*[@?]/is.test(arg))) return undefined;
  const end = args.indexOf('--');
  const kept = args.filter((arg, at) => arg !== '--discard' || (end >= 0 && at > end));
  return [...invocation, ...kept].map(shellQuote).join(' ');
}

/** A header in the arguments may be a secret; one from a file is not there. */
function isHeader(before: string | undefined, arg: string): boolean {
  return (before === '--header' && !arg.startsWith('@')) || /^--header=[^@]/.test(arg);
}

/** The line that says how to go on after an interruption. */
export function goOnLine(args: readonly string[]): string {
  const command = resumeCommand(args, invocation(process.argv[1] ?? 'blockferry', process.env));
  return command ? `  Go on with: ${command}` : '  Go on with the same command.';
}

/** How this command was called. */
export function invocation(script: string, env: NodeJS.ProcessEnv): string[] {
  if (basename(script) !== 'blockferry') return ['node', script];
  if (env.npm_command === 'exec') return ['npx', 'blockferry'];
  return [(env.PATH ?? '').split(':').includes(dirname(script)) ? 'blockferry' : script];
}
