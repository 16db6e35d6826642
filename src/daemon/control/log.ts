/**
 * The log of the service: one JSON object a line, without secrets, in files that are no larger and no more than is said
 * here. Written beside everything else: a full disk costs lines and nothing more.
 */
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { errnoOf } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import type { JobService } from '../../service/job-service.js';

export interface LogRules {
  readonly fileBytesMax: number;
  /** Older files, beside the one that is written. */
  readonly filesMax: number;
}

export interface Log {
  readonly logger: Logger;
  /** All lines are written when it returns, as far as the disk takes them. */
  close(): void;
}

const RULES: LogRules = { fileBytesMax: 8 * MiB, filesMax: 4 };
/** Fields that hold secrets, wherever they come from. */
const SECRET_FIELDS = ['authorization', 'cookie', 'set-cookie', 'token', 'secret', 'password'];
/** Tokens, what stands before the @ of a URL, and the values of its query, which presigned URLs keep secrets in. */
const TOKEN = /\bbf[a-z]_[\w-]{20,}/g;
const USER_INFO = /([a-z][a-z0-9+.-]*:\/\/)[^\s/"@]*@/gi;
const QUERY = /([a-z][a-z0-9+.-]*:\/\/[^\s"?]+\?)[^\s"]+/gi;

export function openLog(folder: string, rules: LogRules = RULES): Log {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'blockferry.log');
  const file = pino.destination({ dest: path, sync: false, mode: 0o600, append: true });
  // Lines that a disk does not take are lost; the next that it takes stands there by itself.
  file.on('error', () => undefined);
  let bytes = sizeOf(path);
  const write = (line: string): void => {
    const plain = withoutSecrets(line);
    bytes += Buffer.byteLength(plain);
    if (bytes > rules.fileBytesMax) {
      turnOver(path, rules.filesMax);
      file.reopen();
      bytes = Buffer.byteLength(plain);
    }
    file.write(plain);
  };
  const paths = SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]);
  const logger = pino(
    { base: null, redact: { paths, censor: '…' }, timestamp: pino.stdTimeFunctions.isoTime },
    { write },
  );
  return { logger, close: () => file.end() };
}

/** State changes, retries and notes of all jobs, until the signal aborts. */
export async function logEvents(service: JobService, logger: Logger, signal: AbortSignal): Promise<void> {
  const all = { name: 'log', admin: true };
  for await (const { job, file, event } of service.events(all, { after: service.load().lastEventId }, signal)) {
    const about = { job, ...(file !== undefined && { file }) };
    if (event.type === 'state') logger.info({ ...about, state: event.state, ...coded(event) }, event.reason);
    if (event.type === 'retry') logger.warn({ ...about, ...coded(event), waitMs: event.waitMs }, event.error.message);
    if (event.type === 'note') logger.info(about, event.message);
  }
}

function coded({ error }: { readonly error?: { readonly code: string } }): { readonly code?: string } {
  return error ? { code: error.code } : {};
}

export function withoutSecrets(line: string): string {
  return line.replace(TOKEN, '…').replace(USER_INFO, '$1').replace(QUERY, '$1…');
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** `blockferry.log` becomes `.1`, that becomes `.2`, and the last is gone. */
function turnOver(path: string, filesMax: number): void {
  for (let number = filesMax; number > 0; number--) {
    const from = number === 1 ? path : `${path}.${number - 1}`;
    try {
      renameSync(from, `${path}.${number}`);
    } catch (thrown) {
      if (errnoOf(thrown) === undefined) throw thrown;
    }
  }
}
