/** The peers that this user knows: looked at, added with pin and token, listed, forgotten. */
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { watchSilence } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { CallAnswer } from '../../core/peer-wire.js';
import { redactedUrl } from '../location.js';
import { isToken, keepPeer, knownPeers, notAToken, type PeerAddress, peerHost, peerName } from './address.js';
import { closePeers, peerClient } from './client.js';
import { connectionError, fingerprintOf } from './connection.js';

export { readPin } from './address.js';

const LOOK_MS_MAX = 10_000;

export interface SeenPeer {
  /** `host:port` */
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** SHA-256 of the certificate that it shows now, in hex. */
  readonly fingerprint: string;
}

/** The certificate that answers there; nothing is sent. @throws TransferError E_USAGE, E_NETWORK, E_TIMEOUT */
export function lookAtPeer(text: string): Promise<SeenPeer> {
  const where = hostOf(text);
  const name = peerName(where);
  return new Promise((resolve, reject) => {
    const sni = isIP(where.host) === 0 ? { servername: where.host } : {};
    const socket = connect({ ...where, ...sni, rejectUnauthorized: false, minVersion: 'TLSv1.3' });
    const fail = (error: TransferError): void => {
      socket.destroy();
      reject(error);
    };
    watchSilence(socket, LOOK_MS_MAX);
    socket.once('timeout', () => fail(new TransferError('E_TIMEOUT', `peer://${name} does not answer`, CHECK)));
    socket.once('error', (error) => fail(connectionError(`peer://${name}`, error)));
    socket.once('secureConnect', () => {
      resolve({ ...where, name, fingerprint: fingerprintOf(socket) });
      socket.destroy();
    });
  });
}

const CHECK = { hint: 'Check host, port and network, and that `blockferry serve` runs there.' } as const;

/** Keeps it, once it has taken the token. Answers what it offers. @throws TransferError E_AUTH */
export async function addPeer(seen: SeenPeer, token: string): Promise<CallAnswer<'hello'>['roots']> {
  if (!isToken(token)) throw notAToken('you gave');
  const address: PeerAddress = { host: seen.host, port: seen.port, token, pin: seen.fingerprint };
  const { roots } = await peerClient(address).callOnce('hello', {});
  closePeers();
  await keepPeer(seen.name, { token, pin: seen.fingerprint });
  return roots;
}

export function listPeers(): readonly { readonly name: string; readonly fingerprint?: string }[] {
  return [...knownPeers()].map(([name, { pin }]) => ({ name, ...(pin !== undefined && { fingerprint: pin }) }));
}

/** @throws TransferError E_USAGE where it is not known */
export async function removePeer(text: string): Promise<string> {
  const name = peerName(hostOf(text));
  if (!knownPeers().has(name)) {
    throw new TransferError('E_USAGE', `the peer ${name} is not known`, { hint: 'See: blockferry peer list' });
  }
  await keepPeer(name, undefined);
  return name;
}

function hostOf(text: string): { readonly host: string; readonly port: number } {
  const given = text.includes('://') ? text : `peer://${text}`;
  return peerHost(new URL(redactedUrl(given)), given);
}
