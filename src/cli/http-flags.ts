/**
 * The options of commands whose locations may be reached over HTTP. None of them takes a secret itself, for arguments
 * can be seen by everybody on the machine; a header can be one, and so can come from a file.
 */
import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { errnoOf, TransferError } from '../core/errors.js';
import type { HttpOptions } from '../core/http-options.js';
import { encodePath } from '../platform/path-bytes.js';
import { collect, count } from './option-values.js';

export interface HttpFlags {
  /** Each a line, or `@FILE` with one a line. */
  readonly header?: readonly string[];
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly connections?: number;
  /** False: --no-resume-ok. */
  readonly resumeOk?: boolean;
}

export const HTTP_OPTIONS = ['--header', '--token-file', '--ca', '--cert', '--key', '--connections'] as const;
export const HTTP_GROUP = 'Servers:';
const CONNECTIONS_MAX = 256;

export function addHttpOptions(command: Command): Command {
  const connections = count('--connections', CONNECTIONS_MAX);
  const options = [
    new Option('--header <line>', '"Name: value" for the server of a URL, or @FILE with such lines; may be repeated'),
    new Option('--token-file <file>', 'file with a bearer token for the server of a URL'),
    new Option('--ca <file>', 'trust these certificate authorities (PEM), and no others'),
    new Option('--cert <file>', 'client certificate (PEM) for the server of a URL'),
    new Option('--key <file>', 'its key (PEM), where that is not in the same file'),
    new Option('--connections <n>', 'connections to one server (default: 8)').argParser(connections),
  ];
  options[0]?.argParser(collect);
  for (const option of options) command.addOption(option.helpGroup(HTTP_GROUP));
  return command;
}

/** @throws TransferError E_USAGE */
export function httpOptions(flags: HttpFlags): { readonly http?: HttpOptions } {
  const { header, tokenFile, ca, cert, key, connections, resumeOk } = flags;
  const http: HttpOptions = {
    ...(header && { headers: headersOf(header) }),
    ...(tokenFile !== undefined && { tokenFile }),
    ...(ca !== undefined && { caFile: ca }),
    ...(cert !== undefined && { certFile: cert }),
    ...(key !== undefined && { keyFile: key }),
    ...(connections !== undefined && { connections }),
    ...(resumeOk === false && { noResumeOk: true }),
  };
  return Object.keys(http).length === 0 ? {} : { http };
}

/** A name that comes several times has all its values, as HTTP takes them (RFC 9110 §5.3). */
function headersOf(given: readonly string[]): Record<string, string> {
  const headers = new Map<string, string>();
  for (const line of given.flatMap((text) => (text.startsWith('@') ? linesOf(text.slice(1)) : [text]))) {
    const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? [];
    if (name === undefined || value === undefined) {
      // The line may be a secret without its name.
      throw new TransferError('E_USAGE', '--header: a line is not of the form "Name: value"', {
        hint: "Write --header 'Name: value', or --header @FILE with one such line after the other.",
      });
    }
    const key = name.toLowerCase();
    const before = headers.get(key);
    headers.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return Object.fromEntries(headers);
}

function linesOf(path: string): string[] {
  try {
    const lines = readFileSync(encodePath(path), 'utf8').split(/\r?\n/);
    return lines.filter((line) => line.trim() !== '' && !line.startsWith('#'));
  } catch (cause) {
    throw new TransferError('E_USAGE', `--header: ${path} cannot be read (${errnoOf(cause) ?? cause})`, {
      hint: 'Check its name and its permissions.',
    });
  }
}
