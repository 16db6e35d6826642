/**
 * Sessions of browsers: a cookie that its token's hash has signed. Nothing is kept of them, so they outlive a start of
 * the daemon, and end with their time or with their token, whichever is first.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { TokenBook, TokenEntry } from '../tokens.js';

const DAY_MS = 24 * 60 * 60 * 1000;
export const SESSION_MS = 7 * DAY_MS;
/** None of these is in a token's name, and cookies may hold it. */
const BETWEEN = '~';

export function newSession({ name, hash }: TokenEntry, nowMs: number): string {
  const said = [name, nowMs + SESSION_MS, randomBytes(12).toString('base64url')].join(BETWEEN);
  return said + BETWEEN + sign(said, hash);
}

/** Whose session it is; undefined where it is none that counts. */
export function readSession(session: string, book: TokenBook, nowMs: number): TokenEntry | undefined {
  const end = session.lastIndexOf(BETWEEN);
  const said = session.slice(0, end);
  const [name = '', until = ''] = said.split(BETWEEN);
  const entry = book.named(name, nowMs);
  if (!entry || !(nowMs < Number(until))) return undefined;
  const [given, right] = [Buffer.from(session.slice(end + 1)), Buffer.from(sign(said, entry.hash))];
  return given.length === right.length && timingSafeEqual(given, right) ? entry : undefined;
}

function sign(said: string, hash: string): string {
  return createHmac('sha256', hash).update(`blockferry session ${said}`).digest('base64url');
}
