/** `blockferry serve`: the daemon until a signal ends it, and the tokens of its clients. */
import { createRunner, pulledLocation } from '../../compose.js';
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { PORT_DEFAULT, type Right } from '../../core/peer-wire.js';
import { Daemon, daemonFolder } from '../../daemon/daemon.js';
import type { Pulled, PullRequest } from '../../daemon/pulls.js';
import { addToken, readTokens, removeToken, type TokenEntry } from '../../daemon/tokens.js';
import { Transfer } from '../../transfer/transfer.js';
import { onInterrupt } from '../follow.js';
import type { OutputFlags } from '../option-values.js';
import type { ServeFlags, TokenAddFlags } from '../serve-program.js';
import type { Session } from '../session.js';

/** For what clients have done on storage; a slow one keeps others waiting only when all are busy. */
const RUNNER_THREADS = 4;
const DAY_MS = 24 * 60 * 60 * 1000;

export async function runServe(session: Session, flags: ServeFlags): Promise<number> {
  const { root, cert, key, limit, connections } = flags;
  if (!root) {
    throw new TransferError('E_USAGE', 'serve needs a folder to offer', { hint: 'Say --root <folder>.' });
  }
  if ((cert === undefined) !== (key === undefined)) {
    throw new TransferError('E_USAGE', '--cert and --key belong together', { hint: 'Give both, or neither.' });
  }
  const listen = readAddress(flags.listen);
  const runner = await createRunner(RUNNER_THREADS);
  const stop = new AbortController();
  const done = onInterrupt(session, () => stop.abort());
  try {
    const daemon = await Daemon.start(
      {
        ...{ roots: root, listen },
        ...(cert !== undefined && key !== undefined && { certificate: { cert, key } }),
        ...(limit !== undefined && { limitBytesPerSecond: limit }),
        ...(connections !== undefined && { connectionsMax: connections }),
      },
      { runner, engine: pullEngine },
    );
    tell(session, daemon, { listen, json: flags.json ?? false });
    const stopped = new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      stop.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    try {
      await Promise.race([stopped, daemon.failed]);
    } finally {
      await daemon.close();
    }
    return 0;
  } finally {
    done();
    session.stuck ||= !(await runner.close());
  }
}

/** A copy that this host makes from another one: a job of its own, on threads of its own. */
async function pullEngine(request: PullRequest): Promise<Pulled> {
  const [runner, source] = [await createRunner(), await pulledLocation(request.source)];
  const { target, options } = request;
  const parts = { runner, clock: systemClock, random: Math.random };
  const transfer = new Transfer({ ...options, source, target }, parts);
  return {
    events: transfer.events,
    suspend: () => transfer.suspend(),
    setRate: (rate) => transfer.setRate(rate),
    run: async () => {
      try {
        return await transfer.run();
      } finally {
        await runner.close();
      }
    },
  };
}

function tell(
  { out }: Session,
  { roots, port, fingerprint }: Daemon,
  { listen, json }: { readonly listen: { readonly host: string }; readonly json: boolean },
): void {
  const pin = `sha256:${fingerprint}`;
  const offered = roots.map(({ name, path }) => ({ name, path }));
  const { host } = listen;
  if (json) {
    out.json({ schema: 1, at: systemClock.wallMs(), type: 'serving', host, port, pin, roots: offered });
    return;
  }
  for (const { name, path } of offered) out.line(`offering ${path} as ${name}`);
  out.line(`listening on ${host.includes(':') ? `[${host}]` : host}:${port}`);
  out.line(`certificate ${pin}`);
}

/** `host:port`, `[address]:port` or `:port`, which is every address of the machine. */
export function readAddress(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]*))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const port = digits === undefined ? PORT_DEFAULT : Number(digits);
  if ((bracketed ?? plain) === undefined || port > 65_535) {
    throw new TransferError('E_USAGE', `--listen: cannot use ${JSON.stringify(text)}`, {
      hint: 'Write host:port, [IPv6 address]:port, or :port for all addresses of this machine.',
    });
  }
  return { host: bracketed ?? (plain === '' ? '::' : (plain as string)), port };
}

export async function runTokenAdd(session: Session, name: string, flags: TokenAddFlags): Promise<number> {
  if (!/^[\w.@-]{1,64}$/.test(name)) {
    throw new TransferError('E_USAGE', `a client cannot be called ${JSON.stringify(name.slice(0, 80))}`, {
      hint: 'Use up to 64 letters, digits, dots, dashes, underscores or @.',
    });
  }
  const createdAt = systemClock.wallMs();
  const { root, days } = flags;
  const token = await addToken(daemonFolder(), {
    ...{ name, rights: readRights(flags.rights), createdAt },
    ...(root && { roots: root }),
    ...(days !== undefined && { expiresAt: createdAt + days * DAY_MS }),
  });
  if (flags.json) session.out.json({ schema: 1, type: 'token', name, token });
  else session.out.line(token);
  session.err.line('This is told once. Give it to the client, which says: blockferry peer add peer://this-host');
  return 0;
}

function readRights(text: string): Right[] {
  const given = text.split(',').map((word) => word.trim());
  const known = (['read', 'write'] as const).filter((right) => given.includes(right));
  if (known.length > 0 && known.length === new Set(given).size) return known;
  throw new TransferError('E_USAGE', `--rights: cannot use ${JSON.stringify(text)}`, {
    hint: 'Write read, write, or read,write.',
  });
}

export function runTokenList(session: Session, flags: OutputFlags): number {
  const tokens = readTokens(daemonFolder()).map(({ hash: _, ...entry }) => entry);
  if (flags.json) session.out.json({ schema: 1, type: 'tokens', tokens });
  else for (const entry of tokens) session.out.line(tokenLine(entry));
  if (tokens.length === 0) session.err.line('no client has a token');
  return 0;
}

function tokenLine({ name, rights, roots, expiresAt }: Omit<TokenEntry, 'hash'>): string {
  const where = roots ? `in ${roots.join(', ')}` : 'in all roots';
  const until = expiresAt === undefined ? '' : `, until ${new Date(expiresAt).toISOString().slice(0, 16)}Z`;
  return `${name}  ${rights.join(' and ')} ${where}${until}`;
}

export async function runTokenRemove(session: Session, name: string): Promise<number> {
  await removeToken(daemonFolder(), name);
  session.out.line(`the token of ${name} is refused from now on`);
  return 0;
}
