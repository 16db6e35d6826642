/**
 * The log of the service: one JSON object a line, without secrets, in files that are no larger and no more than is said
 * here.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import { MiB } from '../../core/units.js';
import type { JobService } from '../../service/job-service.js';
import { LogFile, type LogRules } from './log-file.js';

export interface Log {
  readonly logger: Logger;
  close(): Promise<void>;
}

const RULES: LogRules = { fileBytesMax: 8 * MiB, filesMax: 4 };
/** Fields that hold secrets, wherever they come from. */
const SECRET_FIELDS = ['authorization', 'cookie', 'set-cookie', 'token', 'secret', 'password'];
/** Tokens, what stands before the @ of a URL, and the values of its query, which presigned URLs keep secrets in. */
const TOKEN = /\bbf[a-z]_[\w-]{20,}/g;
const USER_INFO = /([a-z][a-z0-9+.-]{0,15}:\/\/)[^\s/"@]{0,2000}@/gi;
const QUERY = /([a-z][a-z0-9+.-]{0,15}:\/\/[^\s"?]{1,2000}\?)[^\s"]+/gi;

export function openLog(folder: string, rules: LogRules = RULES): Log {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = new LogFile(join(folder, 'blockferry.log'), rules);
  const paths = SECRET_FIELDS.flatMap((field) => [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]);
  const logger = pino(
    { base: null, redact: { paths, censor: '…' }, timestamp: pino.stdTimeFunctions.isoTime },
    { write: (line) => file.write(withoutSecrets(line)) },
  );
  return { logger, close: () => file.close() };
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
