/** What the tests of the HTTP source share: bytes, scripted servers, reading whole chunks, errors as values. */
import { HttpResponse } from 'msw';
import { Agent } from 'undici';
import { afterAll, afterEach } from 'vitest';
import type { Source } from '../../../../src/core/endpoint.js';
import { TransferError } from '../../../../src/core/errors.js';
import type { HttpAsked } from '../../../../src/core/http-options.js';
import { closeHttp } from '../../../../src/endpoint/http/client.js';
import type { HttpClient } from '../../../../src/endpoint/http/exchange.js';
import { FastClient } from '../../../../src/endpoint/http/fast.js';
import { openHttpSource } from '../../../../src/endpoint/http.js';
import { parseLocation } from '../../../../src/endpoint/location.js';
import { fileHandler, type ScenarioServer, type Spoil, serveHandlers } from '../../../support/http-scenarios.js';
import { readChunk } from '../../../support/reading.js';

/** Bytes that differ at every offset and from seed to seed (xorshift32). */
export function someBytes(length: number, seed: number): Buffer {
  const bytes = Buffer.alloc(length);
  let x = seed * 2654435761 || 1;
  for (let i = 0; i < length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    bytes[i] = x;
  }
  return bytes;
}

let plain: Agent | undefined;
const clients: { destroy(): unknown }[] = [];

/** Makes the tests of this file read through undici alone, as the fast way does only where it must. */
export function readPlainly(): void {
  plain = new Agent();
}

/** A client of the way that is tested; it is closed when the test ends. */
export function newClient({ silenceMsMax = 60_000, ca }: { silenceMsMax?: number; ca?: Buffer }): HttpClient {
  const trust = ca === undefined ? {} : { ca };
  const agent = new Agent({ headersTimeout: silenceMsMax, bodyTimeout: silenceMsMax, connect: trust });
  clients.push(agent);
  if (plain !== undefined) return agent;
  const fast = new FastClient(agent, { silenceMsMax, tls: trust });
  clients.push(fast);
  return fast;
}

export function open(url: string, client: HttpClient | undefined = plain, http?: HttpAsked): Promise<Source> {
  return openHttpSource({ ...parseLocation(url), ...(http && { http }) }, { client });
}

/** The TransferError that the promise fails with; anything else fails the test. */
export async function failure(promise: Promise<unknown>): Promise<TransferError> {
  const thrown = await promise.then(
    () => new Error('it should have failed and did not'),
    (error: unknown) => error,
  );
  if (thrown instanceof TransferError) return thrown;
  throw thrown;
}

export const disk = someBytes(512 * 1024, 1);
/** The chunk that the scripted servers get wrong. */
export const middle = { offset: 102_400, length: 204_800 };
export const middleBytes = disk.subarray(102_400, 307_200);

const servers: ScenarioServer[] = [];
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.destroy()));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});
afterAll(async () => {
  await closeHttp();
  await plain?.destroy();
});

/** Serves msw handlers until the test ends. */
export async function serve(...handlers: Parameters<typeof serveHandlers>): Promise<ScenarioServer> {
  const server = await serveHandlers(...handlers);
  servers.push(server);
  return server;
}

/** Opens the file as a good server gives it, and fails on the first chunk, whose answer is spoilt. */
export async function chunkFailure(spoil: Spoil, opening: Spoil = (good) => good): Promise<TransferError> {
  const server = await serve(fileHandler(disk, (good, asked) => (asked.count === 0 ? opening : spoil)(good, asked)));
  const source = await open(`${server.url}/disk.img`);
  return failure(readChunk(source, middle));
}

export async function openFailure(spoil: Spoil): Promise<TransferError> {
  const server = await serve(fileHandler(disk, spoil));
  return failure(open(`${server.url}/disk.img`));
}

/** An answer of nothing but a status and headers. */
export const answering =
  (status: number, headers: Record<string, string> = {}): Spoil =>
  () =>
    new HttpResponse(null, { status, headers });
