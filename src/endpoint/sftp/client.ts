/**
 * The connections of one thread: one for each server and user, made when it is first needed and made anew when it was
 * lost. Idle ones keep no process alive.
 */
import type { SftpAddress } from './address.js';
import type { Secrets } from './auth.js';
import { type ConnectLimits, connectSftp } from './connect.js';
import type { SftpSession } from './session.js';

const LIMITS: ConnectLimits = { silenceMs: 60_000, slowSilenceMs: 600_000 };

export class SftpClient {
  /** What was typed on the terminal; it goes to other threads with the refs. */
  readonly secrets: Secrets = {};
  readonly #limits: ConnectLimits;
  readonly #sessions = new Map<string, Promise<SftpSession>>();

  constructor(limits: Partial<ConnectLimits> = {}) {
    this.#limits = { ...LIMITS, ...limits };
  }

  /** @throws TransferError */
  async session(address: SftpAddress): Promise<SftpSession> {
    const key = JSON.stringify(address);
    const known = this.#sessions.get(key);
    const session = await known;
    if (session && !session.lost) return session;
    // Others may have waited for the same loss.
    if (this.#sessions.get(key) !== known) return this.session(address);
    const connecting = connectSftp(address, this.secrets, this.#limits);
    this.#sessions.set(key, connecting);
    try {
      return await connecting;
    } catch (thrown) {
      if (this.#sessions.get(key) === connecting) this.#sessions.delete(key);
      throw thrown;
    }
  }

  /** Drops all connections; requests under way fail. The next request makes new ones. */
  async close(): Promise<void> {
    const closing = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const ended of await Promise.allSettled(closing)) if (ended.status === 'fulfilled') ended.value.close();
  }
}

let ours: SftpClient | undefined;

export function threadClient(): SftpClient {
  ours ??= new SftpClient();
  return ours;
}
