/** `blockferry service`: the unit of the service is written, started and removed; and how the service is. */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { ERROR_KINDS, errnoOf, TransferError } from '../../core/errors.js';
import type { ServiceView } from '../../daemon/client.js';
import { stateFolder } from '../../endpoint/state-folder.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { SYSTEM_STATE, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { InstallFlags, UnitFlags } from '../service-program.js';
import { type UnitPlan, unitText } from '../service-unit.js';
import type { Session } from '../session.js';

const UNIT = 'blockferry.service';
const SYSTEM_UNITS = '/etc/systemd/system';
const MEMORY_BYTES = 1024 ** 3;
const SYSTEMCTL_MS_MAX = 60_000;

type Kind = UnitPlan['kind'];

export async function runServiceInstall(session: Session, flags: InstallFlags): Promise<number> {
  const { out, err } = session;
  const plan = planOf(flags);
  const [text, path] = [unitText(plan), unitPath(plan.kind)];
  if (flags.dryRun) {
    if (flags.json) out.json({ schema: 1, type: 'service-unit', path, text, written: false, started: false });
    else for (const line of text.trimEnd().split('\n')) out.line(line);
    return 0;
  }
  write(path, text, plan);
  const started = start(plan.kind);
  if (flags.json)
    out.json({ schema: 1, type: 'service-unit', path, text, written: true, started: started === undefined });
  else out.line(`${path} is written${started === undefined ? ', and the service is started' : ''}`);
  if (started !== undefined) err.line(`note: ${started}`);
  if (plan.write.length === 0) {
    err.line('note: jobs can write to no folder of this host; install again with --write <folder> for those they may');
  }
  return 0;
}

function planOf(flags: InstallFlags): UnitPlan {
  const { write = [], device = [], runAs, state, http, memory = MEMORY_BYTES } = flags;
  const kind = kindOf(flags);
  if (kind === 'user' && (runAs !== undefined || device.length > 0)) {
    throw new TransferError('E_USAGE', '--run-as and --device are for the service of the machine', {
      hint: 'Say --system, as root.',
    });
  }
  if (runAs !== undefined && !/^[\w.@-]{1,64}$/.test(runAs)) {
    throw new TransferError('E_USAGE', `--run-as: ${JSON.stringify(runAs)} is no name of a user`, {
      hint: 'Write the name as in /etc/passwd.',
    });
  }
  const stateMade = kind === 'system' && state === undefined;
  // One that root makes is for root alone.
  if (runAs !== undefined && state !== undefined) there('--state', state, 'folder');
  return {
    ...{ kind, stateMade, memoryBytes: memory },
    command: [process.execPath, realpathSync(process.argv[1] ?? '')],
    state: stateMade ? SYSTEM_STATE : resolve(state ?? stateFolder()),
    write: write.map((folder) => there('--write', folder, 'folder')),
    devices: device.map((path) => there('--device', path, 'device')),
    ...(http !== undefined && { http }),
    ...(runAs !== undefined && { runAs }),
  };
}

function kindOf({ user, system }: UnitFlags): Kind {
  if (user || system) return user ? 'user' : 'system';
  return process.geteuid?.() === 0 ? 'system' : 'user';
}

/** systemd would not start a unit that names a folder that is missing. @throws TransferError E_USAGE */
function there(option: string, path: string, kind: 'folder' | 'device'): string {
  const whole = resolve(path);
  try {
    const found = lstatSync(encodePath(realpathSync(encodePath(whole))));
    if (kind === 'folder' ? found.isDirectory() : found.isBlockDevice() || found.isCharacterDevice()) return whole;
    throw new TransferError('E_USAGE', `${option}: ${showPath(path)} is no ${kind === 'folder' ? kind : 'device'}`);
  } catch (thrown) {
    if (thrown instanceof TransferError) throw thrown;
    throw new TransferError(
      'E_USAGE',
      `${option}: ${showPath(path)} cannot be looked at (${errnoOf(thrown) ?? thrown})`,
      {
        hint: 'Make it first, or leave it out.',
      },
    );
  }
}

function unitPath(kind: Kind): string {
  if (kind === 'system') return join(SYSTEM_UNITS, UNIT);
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'systemd', 'user', UNIT);
}

function write(path: string, text: string, { state, stateMade }: UnitPlan): void {
  try {
    if (!stateMade) mkdirSync(encodePath(state), { recursive: true, mode: 0o700 });
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o644 });
  } catch (cause) {
    throw new TransferError('E_USAGE', `${path} cannot be written (${errnoOf(cause) ?? cause})`, {
      hint: 'The service of the machine is for root; --user installs one of your own.',
      cause,
    });
  }
}

/** Undefined when it runs, else why it does not. */
function start(kind: Kind): string | undefined {
  if (!systemd(kind, 'show', '--property=Version').done) {
    return `systemd does not run here, so the service is not started; start it with: blockferry serve`;
  }
  for (const verb of [['daemon-reload'], ['enable', UNIT], ['restart', UNIT]] as const) {
    const { done, said } = systemd(kind, ...verb);
    if (!done) return `systemctl ${verb.join(' ')} failed: ${said}`;
  }
  return undefined;
}

interface Asked {
  readonly done: boolean;
  readonly said: string;
}

function systemd(kind: Kind, ...args: readonly string[]): Asked {
  const options = { encoding: 'utf8', timeout: SYSTEMCTL_MS_MAX } as const;
  const { status, stdout, stderr, error } = spawnSync(
    'systemctl',
    kind === 'user' ? ['--user', ...args] : args,
    options,
  );
  if (error) return { done: false, said: error.message };
  return { done: status === 0, said: (stdout || stderr).trim() };
}

export async function runServiceUninstall({ out, err }: Session, flags: UnitFlags): Promise<number> {
  const kind = kindOf(flags);
  const path = unitPath(kind);
  const written = existsSync(path);
  if (written) {
    const { done, said } = systemd(kind, 'disable', '--now', UNIT);
    if (!done && systemd(kind, 'show', '--property=Version').done) {
      throw new TransferError('E_UNAVAILABLE', `the service cannot be stopped: ${said}`, {
        hint: `Its unit is left where it is: ${path}`,
      });
    }
    rmSync(path, { force: true });
    systemd(kind, 'daemon-reload');
  }
  if (flags.json) out.json({ schema: 1, type: 'service-unit', path, written: false, removed: written });
  else if (written) out.line(`${path} is removed; jobs and state are kept`);
  else err.line(`there is no ${path}; nothing was changed`);
  return 0;
}

export async function runServiceStatus({ out, err }: Session, flags: UnitFlags & ServiceFlags): Promise<number> {
  const kind = kindOf(flags);
  const path = unitPath(kind);
  const unit = existsSync(path) ? { path, active: systemd(kind, 'is-active', UNIT).said } : undefined;
  let failure: TransferError | undefined;
  const view = await withService(flags, (client) => client.service()).catch((thrown: unknown) => {
    failure = TransferError.from(thrown);
    if (failure.code === 'E_BUG' || failure.code === 'E_USAGE') throw failure;
    return undefined;
  });
  if (flags.json) {
    const seen = { ...(unit && { unit }), ...(view && { service: view }), ...(failure && { error: failure.toJSON() }) };
    out.json({ schema: 1, type: 'service', answers: view !== undefined, ...seen });
  } else {
    for (const line of statusLines(view)) out.line(line);
    out.line(unit ? `unit ${unit.path}: ${unit.active || 'unknown'}` : `no unit is installed at ${path}`);
  }
  if (failure && !flags.json) err.line(`${failure.message}${failure.hint ? `. ${failure.hint}` : ''}`);
  return view ? 0 : ERROR_KINDS.E_NO_SERVICE.exitCode;
}

function statusLines(view: ServiceView | undefined): string[] {
  if (!view) return ['the service does not answer'];
  const { version, startedAt, load, caller } = view;
  const known = Object.entries(load.states).filter(([, jobs]) => jobs > 0);
  const jobs = known.map(([state, number]) => `${number} ${state}`).join(', ');
  return [
    `the service answers: version ${version}, since ${new Date(startedAt).toISOString()}`,
    `  jobs: ${jobs === '' ? 'none' : jobs}; you are ${caller.name}${caller.admin ? ', an administrator' : ''}`,
  ];
}
