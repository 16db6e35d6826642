/** Finds the service that a command speaks to, and the job that its user means. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { type ServiceAddress, ServiceClient } from '../daemon/client.js';
import { parseLocation } from '../endpoint/location.js';
import { stateFolder } from '../endpoint/state-folder.js';
import { encodePath, showPath } from '../platform/path-bytes.js';
import { isFinal } from '../service/job.js';
import type { FileSpec, JobView } from '../service/job-service.js';
import type { ServiceFlags } from './service-flags.js';

/** In the state folder. */
export const SOCKET = 'control.sock';
/** Where the unit that `service install` writes for the whole machine has its state. */
export const SYSTEM_STATE = '/var/lib/blockferry';
const FILE_BYTES_MAX = 64 * 1024;
const ID_CHARACTERS_MIN = 4;
const ID_CHARACTERS_SHOWN = 8;
const WHOLE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const LISTED_MAX = 10;

/** Calls the service, and lets go of it whatever happens. */
export async function withService<T>(flags: ServiceFlags, work: (client: ServiceClient) => Promise<T>): Promise<T> {
  const client = new ServiceClient(addressOf(flags));
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

/** @throws TransferError E_USAGE, E_AUTH */
function addressOf({ state, service, tokenFile, ca, pin }: ServiceFlags): ServiceAddress {
  const url = service ?? (state === undefined ? process.env.BLOCKFERRY_SERVICE : undefined);
  if (url === undefined || url === '') {
    if (tokenFile !== undefined || ca !== undefined || pin !== undefined) {
      throw new TransferError('E_USAGE', '--token-file, --ca and --pin are for a service at an address', {
        hint: 'Say which with --service, or leave them out.',
      });
    }
    return { socketPath: socketOf(state) };
  }
  if (state !== undefined) {
    throw new TransferError('E_USAGE', '--state and --service name two services', { hint: 'Leave one of them out.' });
  }
  // What is not shown is not sent either: a name and a password before the host.
  const origin = URL.canParse(url) ? new URL(url).origin : url;
  const token = tokenFile === undefined ? process.env.BLOCKFERRY_TOKEN : textOf('--token-file', tokenFile).trim();
  if (!token) {
    throw new TransferError('E_AUTH', `there is no token for the service at ${origin}`, {
      hint: 'Give a file with it as --token-file, or set BLOCKFERRY_TOKEN; "blockferry serve token add" makes one.',
    });
  }
  return {
    ...{ url: origin, token },
    ...(ca !== undefined && { ca: textOf('--ca', ca) }),
    ...(pin !== undefined && { pin: pinOf(pin) }),
  };
}

function pinOf(text: string): string {
  const [, hex] = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(text) ?? [];
  if (hex !== undefined) return hex.toLowerCase();
  throw new TransferError('E_USAGE', `--pin: cannot use ${JSON.stringify(text.slice(0, 100))}`, {
    hint: 'Write sha256: and the 64 hex digits that "blockferry serve" prints.',
  });
}

/** Unless one is named, the user's own; where that does not run, the machine's. */
export function socketOf(state: string | undefined): string {
  if (state !== undefined) return join(resolve(state), SOCKET);
  const own = join(resolve(stateFolder()), SOCKET);
  if (process.env.BLOCKFERRY_STATE || existsSync(own)) return own;
  const system = join(SYSTEM_STATE, SOCKET);
  return existsSync(system) ? system : own;
}

/** The text of a small file. @throws TransferError E_USAGE, naming the option */
export function textOf(option: string, path: string): string {
  try {
    const text = readFileSync(encodePath(path), 'utf8');
    if (text.length <= FILE_BYTES_MAX) return text;
    throw new TransferError('E_USAGE', `${option}: ${showPath(path)} is too large to be what is meant`);
  } catch (thrown) {
    if (thrown instanceof TransferError) throw thrown;
    throw new TransferError('E_USAGE', `${option}: ${showPath(path)} cannot be read (${errnoOf(thrown) ?? thrown})`, {
      hint: 'Check its name and its permissions.',
    });
  }
}

export function shortId(id: string): string {
  return id.slice(0, ID_CHARACTERS_SHOWN);
}

/**
 * The id of the one job that is meant by an id, by the beginning of one or by a name; of several that have the name the
 * one that is not finished.
 * @throws TransferError E_NO_JOB, and E_USAGE where several could be meant
 */
export async function findJob(client: ServiceClient, given: string): Promise<string> {
  if (WHOLE_ID.test(given)) return given.toLowerCase();
  const begins = (id: string): boolean => given.length >= ID_CHARACTERS_MIN && id.startsWith(given.toLowerCase());
  const jobs = await client.list({ all: true });
  const found = jobs.filter(({ id, name }) => begins(id) || name === given);
  const open = found.filter(({ state }) => !isFinal(state));
  const [only, second] = open.length > 0 ? open : found;
  if (only && !second) return only.id;
  const shown = JSON.stringify(showPath(given));
  if (!only) {
    throw new TransferError('E_NO_JOB', `there is no job ${shown}`, {
      hint: `Give its name or ${ID_CHARACTERS_MIN} characters of its id at least. See: blockferry job list --all`,
    });
  }
  const several = (open.length > 0 ? open : found).map(jobName);
  throw new TransferError('E_USAGE', `${shown} could be any of ${several.length} jobs`, {
    hint: `Give more of the id. They are:\n${several.slice(0, LISTED_MAX).join('\n')}`,
  });
}

/** As far as it takes to tell jobs apart. */
export function jobName({ id, name, state }: Pick<JobView, 'id' | 'name' | 'state'>): string {
  return `${shortId(id)} ${name}: ${state}`;
}

/** A source and its target, and so on; paths are made absolute, for the service has a folder of its own. */
export function filesOf(locations: readonly string[]): FileSpec[] {
  if (locations.length === 0 || locations.length % 2 > 0) {
    throw new TransferError('E_USAGE', 'a job needs a target for each source', {
      hint: 'Write: <source> <target> [<source> <target>...]',
    });
  }
  const files: FileSpec[] = [];
  for (let at = 0; at < locations.length; at += 2) {
    files.push({ source: absolute(locations[at] ?? ''), target: absolute(locations[at + 1] ?? '') });
  }
  return files;
}

/** @throws TransferError E_USAGE for what is no location */
export function absolute(text: string): string {
  const { scheme, text: path } = parseLocation(text);
  if (scheme === 'sftp' || scheme === 'peer') return withAbsoluteFiles(text);
  if (scheme !== 'file') return text;
  const whole = resolve(path);
  return path.endsWith('/') && whole !== '/' ? `${whole}/` : whole;
}

/** A key, or a certificate, may be a file that the location names. */
function withAbsoluteFiles(url: string): string {
  return url.replace(/([?&](?:identity|ca)=)(?![/~])([^&#]+)/g, (...[, before, path]) => {
    return `${before}${resolve(decodeURIComponent(path)).split('/').map(encodeURIComponent).join('/')}`;
  });
}

/** The beginning of a location, which need not be one itself. */
export function absolutePrefix(text: string): string {
  return text === '' || /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : absolute(text);
}
