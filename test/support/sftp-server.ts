/**
 * A scripted SFTP server with one file in memory, for answers that no real server gives on demand: the script may take
 * any request and answer it with any bytes, or not at all.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerChannel } from 'ssh2';
import ssh2 from 'ssh2';
import { encodePacket, type Field, Fields, STATUS, statFields, TYPE } from '../../src/endpoint/sftp/wire.js';
import { makeKey } from './sshd.js';

export interface Asked {
  readonly type: number;
  readonly id: number;
  readonly fields: Fields;
  /** Of its type, from 1. */
  readonly nth: number;
}

export interface SftpServer {
  readonly home: string;
  readonly asked: readonly number[];
  /** Connections so far. */
  readonly accepted: number;
  /** Seconds since 1970. */
  modified: number;
  bytes: Buffer;
  url(path?: string): string;
  stop(): Promise<void>;
}

/** Answers to requests of one type with what it is given, and leaves all others. */
export function answering(type: number, answer: (channel: ServerChannel, request: Asked) => void): Script {
  return (request, channel) => {
    if (request.type !== type) return false;
    answer(channel, request);
    return true;
  };
}

/** Answers whether it has taken the request. */
export type Script = (request: Asked, channel: ServerChannel, server: SftpServer) => boolean | undefined;

export async function serveSftp(bytes: Buffer, script: Script = () => false): Promise<SftpServer> {
  const home = mkdtempSync(join(tmpdir(), 'sftp-server-'));
  mkdirSync(join(home, '.ssh'));
  makeKey(join(home, 'host'));
  const asked: number[] = [];
  let accepted = 0;
  const server = new ssh2.Server({ hostKeys: [readFileSync(join(home, 'host'))] }, (client) => {
    accepted++;
    client.on('error', () => client.end());
    client.on('authentication', (context) => context.accept());
    client.on('session', (accept) => {
      accept().on('subsystem', (acceptIt) => {
        const channel = acceptIt();
        serve(channel, (type, id, fields) => {
          const nth = asked.push(type) && asked.filter((one) => one === type).length;
          if (!script({ type, id, fields, nth }, channel, served)) answer(channel, { type, id, fields }, served);
        });
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  writeFileSync(
    join(home, '.ssh', 'known_hosts'),
    `[127.0.0.1]:${port} ${readFileSync(join(home, 'host.pub'), 'utf8')}`,
  );
  const served: SftpServer = {
    ...{ home, asked, bytes, modified: 1_600_000_000 },
    get accepted() {
      return accepted;
    },
    url: (path = '/disk.img') => `sftp://127.0.0.1:${port}${path}`,
    stop: async () => {
      server.close();
    },
  };
  return served;
}

export function reply(channel: ServerChannel, type: number, id: number, ...fields: Field[]): void {
  channel.write(encodePacket(type, id, fields));
}

function serve(channel: ServerChannel, request: (type: number, id: number, fields: Fields) => void): void {
  let rest = Buffer.alloc(0);
  channel.on('error', () => channel.destroy());
  channel.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const packet = rest.subarray(4, 4 + rest.readUInt32BE(0));
      rest = rest.subarray(4 + packet.length);
      request(packet[0] as number, packet.readUInt32BE(1), new Fields(Buffer.from(packet.subarray(5))));
    }
  });
}

/** What a good server with this one file would say. */
function answer(
  channel: ServerChannel,
  { type, id, fields }: Omit<Asked, 'nth'>,
  { bytes, modified }: SftpServer,
): void {
  const say = (what: number, ...said: Field[]): void => reply(channel, what, id, ...said);
  const stat = { size: bytes.length, mode: 0o100644, accessedSeconds: modified, modifiedSeconds: modified };
  if (type === TYPE.init) reply(channel, TYPE.version, 3);
  else if (type === TYPE.realpath) say(TYPE.name, 1, fields.string().toString(), '', 0);
  else if (type === TYPE.open) say(TYPE.handle, 'h');
  else if (type === TYPE.stat || type === TYPE.lstat || type === TYPE.fstat) say(TYPE.attributes, ...statFields(stat));
  else if (type !== TYPE.read) say(TYPE.status, STATUS.ok, '', '');
  else {
    fields.string();
    const [from, length] = [Number(fields.uint64()), fields.uint32()];
    if (from >= bytes.length) say(TYPE.status, STATUS.eof, '', '');
    else say(TYPE.data, bytes.subarray(from, from + length));
  }
}
