/** A service's door on real sockets in a folder of the test, over a service in memory. */

import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ControlOptions, type ControlServer, startControl } from '../../src/daemon/control/server.js';
import { addToken, removeToken, type TokenRight } from '../../src/daemon/tokens.js';
import { FakeService } from './fake-service.js';

export interface TestControl {
  readonly folder: string;
  readonly service: FakeService;
  readonly server: ControlServer;
  readonly socketPath: string;
  /** Of HTTP; fails where there is none. */
  readonly url: string;
  token(name: string, ...rights: readonly TokenRight[]): Promise<string>;
  forget(name: string): Promise<void>;
  /** Ends the door and opens it again at the same places; the service lives on, or is another one. */
  restart(service?: FakeService): Promise<void>;
  stop(): Promise<void>;
}

export type TestControlOptions = Partial<Omit<ControlOptions, 'service'>> & { readonly service?: FakeService };

export async function startTestControl(options: TestControlOptions = {}): Promise<TestControl> {
  const folder = mkdtempSync(join(tmpdir(), 'control-'));
  let service = options.service ?? new FakeService();
  const start = (http: ControlOptions['http']): Promise<ControlServer> =>
    startControl({
      ...{ version: '1.2.3', socketPath: join(folder, 'control.sock'), tokens: folder },
      ...options,
      ...(http && { http }),
      service,
    });
  let server = await start(options.http);
  const stop = async (): Promise<void> => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return {
    ...{ folder, stop, socketPath: server.socketPath },
    get server() {
      return server;
    },
    get service() {
      return service;
    },
    get url() {
      if (server.url === undefined) throw new Error('this one has the socket alone');
      return server.url;
    },
    token: (name, ...rights) => addToken(folder, { name, rights, createdAt: 0 }),
    forget: (name) => removeToken(folder, name),
    restart: async (other) => {
      const port = server.url === undefined ? undefined : Number(new URL(server.url).port);
      await server.close();
      service = other ?? service;
      server = await start(port === undefined || !options.http ? undefined : { ...options.http, port });
    },
  };
}

export const LOOPBACK = { host: '127.0.0.1', port: 0 } as const;

export interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly token?: string;
  readonly body?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly json: {
    readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
  } & Record<string, unknown>;
}

/** One request as any program makes it, with whatever headers it likes. `at`: a URL, or a socket and a path. */
export function ask(
  at:
    | string
    | (({ readonly socketPath: string } | { readonly host: string; readonly port: string }) & {
        readonly path: string;
      }),
  asked: Asked = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, token, body } = asked;
  const all = {
    ...(body !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    }),
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
    ...headers,
  };
  return new Promise((resolve, reject) => {
    const options = { method, headers: all, agent: false };
    const sent = typeof at === 'string' ? request(at, options) : request({ ...at, ...options });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8');
        const isJson = response.headers['content-type']?.startsWith('application/json');
        const json = isJson ? JSON.parse(text) : {};
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
      });
    });
    sent.end(body);
  });
}
