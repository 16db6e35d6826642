/** `blockferry serve`: the daemon until a signal ends it, and the tokens of its clients. */
import { resolve } from 'node:path';
import { createRunner, pulledLocation } from '../../compose.js';
import { systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { PORT_DEFAULT } from '../../core/peer-wire.js';
import { userName } from '../../daemon/control/access.js';
import { Daemon, daemonFolder } from '../../daemon/daemon.js';
import type { MachinesHere } from '../../daemon/machine-door.js';
import type { Pulled, PullRequest } from '../../daemon/pulls.js';
import {
  addToken,
  readTokens,
  removeToken,
  TOKEN_RIGHTS,
  type TokenEntry,
  type TokenRight,
} from '../../daemon/tokens.js';
import { Transfer } from '../../transfer/transfer.js';
import { onInterrupt } from '../follow.js';
import { type Address, readAddress } from '../option-values.js';
import type { ServeFlags, TokenAddFlags, TokenFlags } from '../serve-program.js';
import type { Session } from '../session.js';
import { type ServedJobs, serveJobs } from './serve-jobs.js';

/** For what clients have done on storage; a slow one keeps others waiting only when all are busy. */
const RUNNER_THREADS = 4;
const DAY_MS = 24 * 60 * 60 * 1000;

export async function runServe(session: Session, flags: ServeFlags): Promise<number> {
  const { root = [], cert, key } = flags;
  if ((cert === undefined) !== (key === undefined)) {
    throw new TransferError('E_USAGE', '--cert and --key belong together', { hint: 'Give both, or neither.' });
  }
  useState(flags.state);
  const stop = new AbortController();
  const done = onInterrupt(session, () => stop.abort());
  // What is opened first is closed last, also when the next one cannot be opened.
  const opened: (() => Promise<unknown>)[] = [];
  try {
    const folders = root.length > 0 ? await serveFolders(session, root, flags) : undefined;
    if (folders) opened.unshift(folders.close);
    const jobs = await serveJobs(session, flags);
    opened.unshift(() => jobs.close());
    tell(session, jobs, folders, flags);
    const stopped = new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      stop.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    await (folders ? Promise.race([stopped, folders.daemon.failed]) : stopped);
    return 0;
  } finally {
    for (const close of opened) await close();
    done();
  }
}

/** What this process, its threads and all that it starts take for the state folder. */
function useState(state: string | undefined): void {
  if (state !== undefined) process.env.BLOCKFERRY_STATE = resolve(state);
}

interface ServedFolders {
  readonly daemon: Daemon;
  readonly listen: Address;
  readonly close: () => Promise<void>;
}

async function serveFolders(session: Session, roots: readonly string[], flags: ServeFlags): Promise<ServedFolders> {
  const { cert, key, limit, connections } = flags;
  const listen = readAddress('--listen', flags.listen, PORT_DEFAULT);
  const runner = await createRunner(RUNNER_THREADS);
  const closeRunner = async (): Promise<void> => {
    session.stuck ||= !(await runner.close());
  };
  try {
    const daemon = await Daemon.start(
      {
        ...{ roots, listen },
        ...(cert !== undefined && key !== undefined && { certificate: { cert, key } }),
        ...(limit !== undefined && { limitBytesPerSecond: limit }),
        ...(connections !== undefined && { connectionsMax: connections }),
      },
      { runner, engine: pullEngine, machines: machinesForPeers },
    );
    const close = async (): Promise<void> => {
      await daemon.close();
      await closeRunner();
    };
    return { daemon, listen, close };
  } catch (thrown) {
    await closeRunner();
    throw thrown;
  }
}

/** The same that the service has, so that both wait for each other. */
async function machinesForPeers(): Promise<MachinesHere> {
  const { openMachines } = await import('../../index.js');
  return (await openMachines()).forPeers();
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
  { out, err }: Session,
  { socketPath, url, pin: webPin }: ServedJobs,
  folders: ServedFolders | undefined,
  { json }: ServeFlags,
): void {
  const jobs = {
    socketPath,
    ...(url !== undefined && { url }),
    ...(webPin !== undefined && { webPin: named(webPin) }),
  };
  const { roots = [], fingerprint = '', port = 0 } = folders?.daemon ?? {};
  const offered = roots.map(({ name, path }) => ({ name, path }));
  if (json) {
    const served = folders && { host: folders.listen.host, port, pin: named(fingerprint), roots: offered };
    out.json({ schema: 1, at: systemClock.wallMs(), type: 'serving', ...served, ...jobs });
    return;
  }
  for (const { name, path } of offered) out.line(`offering ${path} as ${name}`);
  if (folders) {
    const { host } = folders.listen;
    out.line(`listening on ${host.includes(':') ? `[${host}]` : host}:${port}`);
    out.line(`certificate ${named(fingerprint)}`);
  }
  out.line(`jobs at ${socketPath}`);
  if (url === undefined) return;
  out.line(`and at ${url}${webPin === undefined ? '' : `, certificate ${named(webPin)}`}`);
  const callers = readTokens(daemonFolder()).filter(
    ({ rights }) => rights.includes('jobs') || rights.includes('admin'),
  );
  if (callers.length > 0) return;
  err.line('note: nobody has a token for it yet; make one with: blockferry serve token add NAME --rights admin');
}

function named(fingerprint: string): string {
  return `sha256:${fingerprint}`;
}

export async function runTokenAdd(session: Session, name: string, flags: TokenAddFlags): Promise<number> {
  if (!/^[\w.@-]{1,64}$/.test(name)) {
    throw new TransferError('E_USAGE', `a client cannot be called ${JSON.stringify(name.slice(0, 80))}`, {
      hint: 'Use up to 64 letters, digits, dots, dashes, underscores or @.',
    });
  }
  useState(flags.state);
  const createdAt = systemClock.wallMs();
  const { root, days } = flags;
  const rights = readRights(flags.rights);
  if (rights.includes('jobs') && !rights.includes('admin') && name === userName()) {
    throw new TransferError('E_USAGE', `${name} is the service's own user, whose jobs a token cannot share`, {
      hint: 'Choose another name, or give it the right admin.',
    });
  }
  const token = await addToken(daemonFolder(), {
    ...{ name, rights, createdAt },
    ...(root && { roots: root }),
    ...(days !== undefined && { expiresAt: createdAt + days * DAY_MS }),
  });
  if (flags.json) session.out.json({ schema: 1, type: 'token', name, token });
  else session.out.line(token);
  session.err.line(`This is told once. Give it to the client, which ${usesOf(rights).join(', and ')}`);
  return 0;
}

/** What its user does with a token. */
function usesOf(rights: readonly TokenRight[]): string[] {
  const files = rights.includes('read') || rights.includes('write');
  const jobs = rights.includes('jobs') || rights.includes('admin');
  return [
    ...(files ? ['says for files: blockferry peer add peer://this-host'] : []),
    ...(jobs ? ['signs in with it on the page, or says for jobs: --service URL --token-file FILE'] : []),
  ];
}

function readRights(text: string): TokenRight[] {
  const given = text.split(',').map((word) => word.trim());
  const known = TOKEN_RIGHTS.filter((right) => given.includes(right));
  if (known.length > 0 && known.length === new Set(given).size) return known;
  throw new TransferError('E_USAGE', `--rights: cannot use ${JSON.stringify(text)}`, {
    hint: `Write one or more of these, separated by commas: ${TOKEN_RIGHTS.join(', ')}.`,
  });
}

export function runTokenList(session: Session, flags: TokenFlags): number {
  useState(flags.state);
  const tokens = readTokens(daemonFolder()).map(({ hash: _, ...entry }) => entry);
  if (flags.json) session.out.json({ schema: 1, type: 'tokens', tokens });
  else for (const entry of tokens) session.out.line(tokenLine(entry));
  if (tokens.length === 0) session.err.line('no client has a token');
  return 0;
}

function tokenLine({ name, rights, roots, expiresAt }: Omit<TokenEntry, 'hash'>): string {
  const files = rights.some((right) => right === 'read' || right === 'write' || right === 'vm');
  const where = roots ? ` in ${roots.join(', ')}` : files ? ' in all roots' : '';
  const until = expiresAt === undefined ? '' : `, until ${new Date(expiresAt).toISOString().slice(0, 16)}Z`;
  return `${name}  ${rights.join(' and ')}${where}${until}`;
}

export async function runTokenRemove(session: Session, name: string, flags: TokenFlags): Promise<number> {
  useState(flags.state);
  await removeToken(daemonFolder(), name);
  session.out.line(`the token of ${name} is refused from now on`);
  return 0;
}
