/**
 * Where a peer is and how it is known: `peer://host[:port]/NAME/path`, with `?pin=sha256:…` or `?ca=FILE`. What
 * `blockferry peer add` keeps is in a file of the state folder, for this user alone; BLOCKFERRY_PEER_TOKEN stands
 * before it. A peer that nobody vouches for is never spoken to.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Location } from '../../core/endpoint.js';
import { errnoOf, TransferError } from '../../core/errors.js';
import { type PeerAddress, type Place, PORT_DEFAULT, token as tokenShape } from '../../core/peer-wire.js';
import { object, type Shaped, text } from '../../core/shape.js';
import { assertPrivate, changePrivately, writePrivately } from '../../platform/private-file.js';
import { locationOptions } from '../location-options.js';
import { makeStateFolder, stateFolder } from '../state-folder.js';

/**
 * `pin`: SHA-256 of the certificate, in hex: that one, whoever signed it. `ca`: certificates that may have signed it,
 * PEM. Without both: those that Node trusts. It holds a secret: it may cross threads, and must not be written down.
 */
export type { PeerAddress } from '../../core/peer-wire.js';

export interface PeerPlace {
  readonly address: PeerAddress;
  readonly place: Place;
}

const known = object({ token: tokenShape }, { pin: text(64, /^[0-9a-f]{64}$/) });
export type KnownPeer = Shaped<typeof known>;

/** `host:port`, as peers.json has it. */
export function peerName({ host, port }: Pick<PeerAddress, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** @throws TransferError E_USAGE for what is not understood, E_AUTH without a token */
export function peerPlace(location: Location): PeerPlace {
  // Nobody types that: it is what another host was told.
  if (location.text.startsWith('{')) return JSON.parse(location.text) as PeerPlace;
  const url = new URL(location.text);
  const where = peerHost(url, location.name);
  const { pin, ca } = locationOptions(url, ['pin', 'ca', 'direct']);
  const kept = knownPeers().get(peerName(where));
  const token = process.env.BLOCKFERRY_PEER_TOKEN || kept?.token;
  if (token === undefined) throw noToken(where);
  if (!isToken(token)) throw notAToken('BLOCKFERRY_PEER_TOKEN holds');
  const trusted = pin !== undefined ? readPin(pin) : ca === undefined ? kept?.pin : undefined;
  const [root = '', ...names] = url.pathname.replace(/^\//, '').split('/').map(decoded);
  if (root === '') {
    throw new TransferError('E_USAGE', `${location.name} names no root of the peer`, {
      hint: 'Write peer://host/NAME/path: NAME is what `blockferry serve` calls the folder that it offers.',
    });
  }
  return {
    address: { ...where, token, ...(trusted !== undefined && { pin: trusted }), ...(ca && { ca: readCa(ca) }) },
    place: { root, path: names.join('/') },
  };
}

/** As a location for the engine of the host that pulls. */
export function pulledLocation({ address, place }: PeerPlace): Location {
  const name = `peer://${peerName(address)}/${place.root}/${place.path}`;
  return { scheme: 'peer', text: JSON.stringify({ address, place }), name };
}

/** @throws TransferError E_USAGE */
export function peerHost(url: URL, shown: string): Pick<PeerAddress, 'host' | 'port'> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (url.protocol !== 'peer:' || host === '' || url.username !== '' || url.password !== '') {
    throw new TransferError('E_USAGE', `${shown}: a peer is written as peer://host[:port]/NAME/path`, {
      hint: 'Its token goes into BLOCKFERRY_PEER_TOKEN, or is kept by `blockferry peer add`; never into the location.',
    });
  }
  return { host: host.toLowerCase(), port: url.port === '' ? PORT_DEFAULT : Number(url.port) };
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    throw new TransferError('E_USAGE', 'the path of a peer location cannot be read', {
      hint: 'Write special characters as %XX, % itself as %25.',
      cause,
    });
  }
}

/** `sha256:` and 64 hex digits, with or without colons between them. */
export function readPin(given: string): string {
  const hex = given
    .replace(/^sha256:/i, '')
    .replaceAll(':', '')
    .toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw new TransferError('E_USAGE', 'the pin of a peer cannot be read', {
    hint: 'Write pin=sha256: and the 64 hex digits that `blockferry serve` prints when it starts.',
  });
}

function readCa(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new TransferError('E_USAGE', `${path}: the certificates cannot be read (${errnoOf(cause)})`, {
      hint: 'Give a PEM file as ca=FILE.',
      cause,
    });
  }
}

function noToken(where: Pick<PeerAddress, 'host' | 'port'>): TransferError {
  return new TransferError('E_AUTH', `no token for the peer ${peerName(where)} is known`, {
    hint: `Say: blockferry peer add peer://${peerName(where)}; or set BLOCKFERRY_PEER_TOKEN.`,
  });
}

export function isToken(given: string): boolean {
  return /^[\w-]{1,200}$/.test(given);
}

/** What is wrong is not repeated: it may be most of a token. */
export function notAToken(what: string): TransferError {
  return new TransferError('E_USAGE', `${what} what is no token`, {
    hint: 'Give the one that `blockferry serve token add` has printed, and nothing around it.',
  });
}

export function peersPath(): string {
  return join(stateFolder(), 'peers.json');
}

/** What `peer add` has kept. @throws TransferError E_AUTH when others could read it, E_USAGE when it is damaged */
export function knownPeers(): ReadonlyMap<string, KnownPeer> {
  const path = peersPath();
  try {
    const content = assertPrivate(path);
    if (content === undefined) return new Map();
    const entries = Object.entries(JSON.parse(content.toString('utf8')) as object);
    return new Map(entries.map(([name, value]) => [name, known(value)]));
  } catch (cause) {
    if (cause instanceof TransferError && cause.code === 'E_AUTH') throw cause;
    throw new TransferError('E_USAGE', `${path} cannot be read as the list of known peers`, {
      hint: 'Mend it, or remove it and add the peers anew with `blockferry peer add`.',
      cause,
    });
  }
}

/** Keeps a peer, or with undefined forgets it. */
export async function keepPeer(name: string, peer: KnownPeer | undefined): Promise<void> {
  makeStateFolder('');
  await changePrivately(peersPath(), () => {
    const peers = new Map(knownPeers());
    if (peer) peers.set(name, peer);
    else peers.delete(name);
    writePrivately(peersPath(), `${JSON.stringify(Object.fromEntries(peers), undefined, 2)}\n`);
  });
}
