/**
 * Makes a connection: the server proves that it is the known one before anything is told to it, then the user proves
 * who he is. The bytes of all requests then go through one channel without delay: small packets that wait for an
 * acknowledgement make reading ten times slower.
 */
import { connect, type Socket } from 'node:net';
import type { Client, ClientChannel, ServerHostKeyAlgorithm } from 'ssh2';
import { watchSilence } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import { showPath } from '../../platform/path-bytes.js';
import { type SftpAddress, serverName } from './address.js';
import { Authentication, refusedAccess, type Secrets } from './auth.js';
import { SftpChannel } from './channel.js';
import { fileName, fingerprintOf, KnownHosts, typeOfKey } from './known-hosts.js';
import { SftpSession } from './session.js';

export interface ConnectLimits {
  /** For how long a server may say nothing while it is asked for something. */
  readonly silenceMs: number;
  /** The same while it makes data durable, or writes out a file that is closed. */
  readonly slowSilenceMs: number;
}

/** One buffer for all that comes: a new one for each read costs more than the reading. */
const READ_BYTES = 256 * KiB;
/** Finds a dead way while nothing is asked for. */
const KEEPALIVE_MS = 30_000;

const KEY_ALGORITHMS: readonly (readonly [type: string, algorithms: readonly ServerHostKeyAlgorithm[]])[] = [
  ['ssh-ed25519', ['ssh-ed25519']],
  ['ecdsa-sha2-nistp256', ['ecdsa-sha2-nistp256']],
  ['ecdsa-sha2-nistp384', ['ecdsa-sha2-nistp384']],
  ['ecdsa-sha2-nistp521', ['ecdsa-sha2-nistp521']],
  ['ssh-rsa', ['rsa-sha2-512', 'rsa-sha2-256']],
];

/** Signs with SHA-1, which nobody should take any more. */
const KEX = [
  'curve25519-sha256',
  'curve25519-sha256@libssh.org',
  'ecdh-sha2-nistp256',
  'ecdh-sha2-nistp384',
  'ecdh-sha2-nistp521',
  'diffie-hellman-group-exchange-sha256',
  'diffie-hellman-group14-sha256',
  'diffie-hellman-group16-sha512',
] as const;

/** @throws TransferError E_AUTH, E_NETWORK, E_TIMEOUT, E_PROTOCOL */
export async function connectSftp(address: SftpAddress, secrets: Secrets, limits: ConnectLimits): Promise<SftpSession> {
  const name = serverName(address);
  const { default: ssh } = await import('ssh2');
  let ready = false;
  const socket: Socket = connect({
    ...{ host: address.host, port: address.port, noDelay: true },
    onread: {
      buffer: Buffer.alloc(READ_BYTES),
      callback: (length, buffer) => {
        const bytes = Buffer.from(buffer.buffer, buffer.byteOffset, length);
        // Of the handshake something is kept; what is encrypted is only looked at.
        return socket.emit('data', ready ? bytes : Buffer.from(bytes));
      },
    },
  });
  socket.setKeepAlive(true, KEEPALIVE_MS);
  const client = new ssh.Client();
  try {
    const stream = await new Handshake({ ssh, client, socket, address, secrets, limits }).run();
    ready = true;
    // What a server logs there is nobody's, and would pile up.
    stream.stderr.resume();
    watchSilence(socket, 0);
    const channel = new SftpChannel(stream, { name, ...limits, socket });
    // What fails after this ends the stream, too; an error without a listener would end the process.
    client.on('error', (error) => channel.lose(networkError(name, error)));
    return await SftpSession.begin(name, channel);
  } catch (thrown) {
    socket.destroy();
    throw thrown;
  }
}

interface HandshakeParts {
  readonly ssh: typeof import('ssh2');
  readonly client: Client;
  readonly socket: Socket;
  readonly address: SftpAddress;
  readonly secrets: Secrets;
  readonly limits: ConnectLimits;
}

class Handshake {
  readonly #parts: HandshakeParts;
  readonly #name: string;
  readonly #over = new AbortController();
  readonly #authentication: Authentication;
  readonly #known: KnownHosts;
  #refused: TransferError | undefined;

  constructor(parts: HandshakeParts) {
    this.#parts = parts;
    this.#name = serverName(parts.address);
    this.#known = new KnownHosts(parts.address.knownHosts, parts.address.revokedKeys);
    this.#authentication = new Authentication({ ...parts, signal: this.#over.signal });
  }

  run(): Promise<ClientChannel> {
    const { client, socket, limits } = this.#parts;
    return new Promise<ClientChannel>((resolve, reject) => {
      const fail = (error: Error): void => reject(this.#meaning(error));
      watchSilence(socket, limits.silenceMs);
      socket.on('timeout', () => {
        reject(timedOut(this.#name, limits.silenceMs, this.#authentication.asksAgent));
        socket.destroy();
      });
      client.on('error', (error: Error & { level?: string }) => {
        // An agent that is not there is one way less.
        if (error.level === 'agent') this.#authentication.tried.push(`the agent did not help: ${error.message}`);
        else fail(error);
      });
      client.on('close', () => fail(new Error('the server closed the connection')));
      client.on('ready', () => {
        client.subsys('sftp', (error, stream) => {
          if (error) reject(noSftp(this.#name, error));
          else resolve(stream);
        });
      });
      client.connect(this.#settings(reject));
    }).finally(() => this.#over.abort());
  }

  #settings(reject: (error: Error) => void): Parameters<Client['connect']>[0] {
    const { address, socket } = this.#parts;
    return {
      sock: socket,
      username: address.user,
      // Somebody may be asked for a passphrase meanwhile; silence is watched for elsewhere.
      readyTimeout: 0,
      algorithms: { kex: [...KEX], serverHostKey: this.#keyAlgorithms(), compress: ['none'] },
      hostVerifier: (key: Buffer) => this.#judge(key),
      authHandler: (open, _partial, next) => {
        watchSilence(socket, 0);
        this.#authentication.next(open).then(
          (way) => {
            watchSilence(socket, this.#parts.limits.silenceMs);
            // The types do not know how to say that there is no way left.
            next((way ?? false) as typeof way & object);
          },
          (error: Error) => reject(error),
        );
      },
    };
  }

  /** Known types first: of several keys a server should show the one that can be checked. */
  #keyAlgorithms(): ServerHostKeyAlgorithm[] {
    const known = this.#known.typesOf(this.#hostName);
    const ranked = [...KEY_ALGORITHMS].sort(([a], [b]) => Number(known.includes(b)) - Number(known.includes(a)));
    return ranked.flatMap(([, algorithms]) => algorithms);
  }

  get #hostName(): { host: string; port: number } {
    const { keyAlias, host, port } = this.#parts.address;
    return keyAlias === undefined ? { host, port } : { host: keyAlias, port: 22 };
  }

  #judge(key: Buffer): boolean {
    const verdict = this.#known.judge(this.#hostName, key);
    if (verdict.is === 'known') return true;
    const shown = `${typeOfKey(key)} ${fingerprintOf(key)}`;
    const refuse = (what: string, hint: string): void => {
      this.#refused = new TransferError('E_AUTH', `${this.#name}: ${what}`, { hint: `Nothing was sent. ${hint}` });
    };
    const { lax } = this.#parts.address;
    const name = fileName(this.#hostName);
    if (verdict.is === 'revoked') {
      refuse(
        `the key of the server (${shown}) was revoked (${verdict.place})`,
        'Ask who runs it; it may be an attacker.',
      );
    } else if (verdict.is === 'changed') {
      const place = `it is not the one in ${verdict.place}`;
      const hint = `Somebody may be in between, or it has a new key: ask who runs it, then ssh-keygen -R '${name}'.`;
      refuse(`the key of the server has changed: it shows ${shown}, and ${place}`, hint);
    } else {
      const other =
        verdict.otherTypes.length > 0 ? `; keys of other types are known: ${verdict.otherTypes.join(', ')}` : '';
      const setting = lax === undefined ? '' : ` ${lax} in the settings of ssh is not followed.`;
      const file = showPath(this.#known.files[0] ?? '~/.ssh/known_hosts');
      const how = `Compare the fingerprint with its own, then log in once with ssh, which writes it to ${file}.`;
      refuse(`the key of the server is not known: it shows ${shown}${other}`, `${how}${setting}`);
    }
    return false;
  }

  #meaning(error: Error): TransferError {
    if (this.#refused) return this.#refused;
    const { level } = error as { level?: string };
    const { tried } = this.#authentication;
    if (level === 'client-authentication' || /authentication failures/i.test(error.message)) {
      return refusedAccess(this.#name, this.#parts.address, tried);
    }
    const cut = /^Connection lost/.test(error.message);
    if (!cut && (level === 'handshake' || level === 'protocol')) {
      return new TransferError('E_PROTOCOL', `${this.#name}: no agreement with the server (${error.message})`, {
        hint: 'Check that an SSH server listens there, and which algorithms it allows.',
        cause: error,
      });
    }
    return networkError(this.#name, error);
  }
}

function timedOut(name: string, ms: number, ofAgent: boolean): TransferError {
  const silence = `has not answered for ${Math.round(ms / 1000)} s`;
  if (ofAgent) {
    return new TransferError('E_AUTH', `${name}: the agent that holds the keys ${silence}`, {
      hint: 'It may wait for somebody to confirm. See to it (ssh-add -l), or name a key by ?identity=FILE.',
    });
  }
  return new TransferError('E_TIMEOUT', `${name}: the server ${silence}`, {
    hint: 'Check the network and the server, then run the same command again.',
  });
}

function noSftp(name: string, cause: Error): TransferError {
  return new TransferError('E_USAGE', `${name}: the server has no SFTP (${cause.message})`, {
    hint: 'Turn it on there (Subsystem sftp in sshd_config), or choose another way.',
    cause,
  });
}

function networkError(name: string, cause: Error): TransferError {
  const { code } = cause as NodeJS.ErrnoException;
  const reason = typeof code === 'string' ? code : cause.message;
  return new TransferError('E_NETWORK', `${name}: the connection failed (${reason})`, {
    hint: 'Check host name, port and network, then run the same command again.',
    cause,
  });
}
