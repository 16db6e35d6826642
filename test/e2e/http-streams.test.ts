/** Copies from servers without ranges, with digests, with limits, and from such as fail or change in the middle. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, status, type TransferEvent, verify } from '../../src/index.js';
import { startCopy } from '../support/copy-process.js';
import { bytesOf, CHUNK, failureOf, leftIn, partialCopy, scratchFolder, targetIn } from '../support/copying.js';
import { goodHead, type RawRequest, type RawServer, serveRaw } from '../support/raw-server.js';

const small = bytesOf(2 * MiB, 'small');
const large = bytesOf(9 * MiB, 'large');

type Answer = (socket: Socket, request: RawRequest) => unknown;

async function serve(answer: Answer, port?: number): Promise<RawServer> {
  const server = await serveRaw(answer, port);
  onTestFinished(() => server.stop());
  return server;
}

/** Answers with the range, and with more headers. */
const ranged =
  (bytes: Buffer, headers = '', etag = '"v1"'): Answer =>
  (socket, request) => {
    const { first, last } = request.range;
    const head = goodHead(request, bytes.length).replace('"v1"\r\n', `${etag}\r\n${headers}`);
    socket.write(Buffer.concat([Buffer.from(head), bytes.subarray(first, last + 1)]));
  };

/** Answers whatever it is asked with all of the file. */
const rangeless =
  (bytes: Buffer, etag = '"v1"'): Answer =>
  (socket) => {
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nETag: ${etag}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), bytes]));
  };

async function notesOf(run: AsyncIterable<TransferEvent>): Promise<string[]> {
  const notes: string[] = [];
  for await (const event of run) if (event.type === 'note') notes.push(event.message);
  return notes;
}

const urlOf = ({ url }: RawServer): string => `${url}/disk.img`;

test('a small file of a server without ranges is copied, checked and compared like any other', async () => {
  const source = urlOf(await serve(rangeless(small)));
  const { target, folder } = targetIn(scratchFolder());
  const run = copy({ source, target });
  expect(await notesOf(run)).toEqual([]);
  expect(await run.result).toMatchObject({ bytesCopied: small.length });
  expect(readFileSync(target).equals(small)).toBe(true);
  expect(leftIn(folder)).toEqual([]);
  expect(await verify({ target, source }).result).toMatchObject({ same: true });
});

test('a large one is refused, and copied in one stream where that is allowed, which is said plainly', async () => {
  const source = urlOf(await serve(rangeless(large)));
  const { target, folder } = targetIn(scratchFolder());
  const error = await failureOf(copy({ source, target }).result);
  expect(error).toMatchObject({ code: 'E_NO_RANGES', hint: expect.stringContaining('--no-resume-ok') });
  expect(leftIn(folder)).toEqual([]);
  const run = copy({ source, target, http: { noResumeOk: true } });
  expect((await notesOf(run)).join('\n')).toContain('a copy that is stopped begins again');
  expect(await run.result).toMatchObject({ bytesCopied: large.length });
  expect(readFileSync(target).equals(large)).toBe(true);
  expect(await verify({ target, source }).result).toMatchObject({ same: true });
  const asDisk = copy({ source, target: targetIn(folder, 'disk.vhdx').target, to: 'vhdx', http: { noResumeOk: true } });
  expect(await failureOf(asDisk.result)).toMatchObject({ code: 'E_NO_RANGES' });
});

test('a stream that was cut, or stopped, begins again, and nothing of two versions is joined', async () => {
  let bytes = large;
  let etag = '"v1"';
  let cut = false;
  const server = await serve((socket, request) => {
    if (!cut || /^range:/im.test(request.text)) return rangeless(bytes, etag)(socket, request);
    cut = false;
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\nETag: ${etag}\r\n\r\n`;
    return socket.end(Buffer.concat([Buffer.from(head), bytes.subarray(0, 5 * MiB)]));
  });
  const { target } = targetIn(scratchFolder());
  const options = { source: urlOf(server), target, chunkBytes: 16 * MiB, http: { noResumeOk: true } };
  await partialCopy(options, MiB);
  expect(existsSync(target)).toBe(false);
  etag = '"v2"';
  bytes = bytesOf(9 * MiB, 'changed');
  expect(await failureOf(copy(options).result)).toMatchObject({ code: 'E_PART_OTHER_SOURCE' });
  cut = true;
  const run = copy({ ...options, discard: true });
  const retries: unknown[] = [];
  for await (const event of run) if (event.type === 'retry') retries.push([event.chunk, event.error.code]);
  expect(retries).toEqual([[0, 'E_NETWORK']]);
  expect(await run.result).toMatchObject({ bytesCopied: bytes.length });
  expect(readFileSync(target).equals(bytes)).toBe(true);
});

test('a chunk whose Content-Digest is not that of its bytes is fetched again', async () => {
  let wrong = 0;
  const server = await serve((socket, request) => {
    const { first, last } = request.range;
    const digest = createHash('sha256')
      .update(small.subarray(first, last + 1))
      .digest('base64');
    const field = (value: string): string => `Content-Digest: sha-256=:${value}:\r\n`;
    if (first !== 2 * CHUNK || wrong++ > 0) return ranged(small, field(digest))(socket, request);
    const spoilt = Buffer.from(small);
    spoilt[2 * CHUNK + 5] = (spoilt[2 * CHUNK + 5] as number) ^ 1;
    return ranged(spoilt, field(digest))(socket, request);
  });
  const { target } = targetIn(scratchFolder());
  const run = copy({ source: urlOf(server), target, chunkBytes: CHUNK, workers: 1 });
  const retries: unknown[] = [];
  for await (const event of run) if (event.type === 'retry') retries.push([event.chunk, event.error.code]);
  await run.result;
  expect(retries).toEqual([[2, 'E_PROTOCOL']]);
  expect(readFileSync(target).equals(small)).toBe(true);
});

test('what a server says of the whole file is compared with the checksum of the copy', async () => {
  const hex = createHash('sha256').update(small).digest('hex');
  const field = (bytes: Buffer): string =>
    `Repr-Digest: sha-256=:${createHash('sha256').update(bytes).digest('base64')}:\r\n`;
  const checksum = { algorithm: 'sha256' } as const;
  const right = urlOf(await serve(ranged(small, field(small))));
  const options = { chunkBytes: CHUNK, workers: 1, checksum };
  expect((await copy({ source: right, target: targetIn(scratchFolder()).target, ...options }).result).checksum).toEqual(
    {
      algorithm: 'sha256',
      value: hex,
    },
  );
  const wrong = urlOf(await serve(ranged(small, field(large))));
  const { target } = targetIn(scratchFolder());
  const error = await failureOf(copy({ source: wrong, target, ...options }).result);
  expect(error).toMatchObject({
    code: 'E_INTEGRITY',
    exitCode: 4,
    message: expect.stringContaining('is said to have'),
  });
  expect(existsSync(target)).toBe(false);
  expect((await status(target)).partial).toBeDefined();
});

test('a source that changes in the middle is told, and its partial copy is not gone on with', async () => {
  const changed = bytesOf(small.length, 'changed');
  const server = await serve((socket, request) =>
    request.count < 5 ? ranged(small)(socket, request) : ranged(changed, '', '"v2"')(socket, request),
  );
  const { target } = targetIn(scratchFolder());
  const options = { source: urlOf(server), target, chunkBytes: CHUNK, workers: 1, lanes: 1 };
  expect(await failureOf(copy(options).result)).toMatchObject({ code: 'E_SOURCE_CHANGED' });
  expect(existsSync(target)).toBe(false);
  expect(await failureOf(copy(options).result)).toMatchObject({ code: 'E_PART_OTHER_SOURCE' });
  await copy({ ...options, discard: true }).result;
  expect(readFileSync(target).equals(changed)).toBe(true);
});

test('a server that is busy in the middle is asked for that chunk again when it said', async () => {
  const server = await serve((socket, request) => {
    if (request.count !== 4) return ranged(small)(socket, request);
    return socket.write('HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n');
  });
  const { target } = targetIn(scratchFolder());
  const run = copy({ source: urlOf(server), target, chunkBytes: CHUNK, workers: 1 });
  const waits: number[] = [];
  for await (const event of run) if (event.type === 'retry') waits.push(event.waitMs);
  await run.result;
  expect(waits).toEqual([1000]);
  expect(readFileSync(target).equals(small)).toBe(true);
});

test.each([
  [1, 1],
  [2, 2],
  [3, 3],
  [undefined, 8],
])('with --connections %s no more than %i are ever open, whatever the lanes', async (connections, most) => {
  let open = 0;
  const server: RawServer = await serve((socket, request) => {
    open = Math.max(open, server.open);
    // Others get the time to open theirs.
    setTimeout(() => ranged(small)(socket, request), 5);
  });
  const { target } = targetIn(scratchFolder());
  const http = connections === undefined ? {} : { http: { connections } };
  await copy({ source: urlOf(server), target, chunkBytes: 16 * 1024, lanes: 32, ...http }).result;
  expect(readFileSync(target).equals(small)).toBe(true);
  expect(open).toBeLessThanOrEqual(most);
  if (most <= 2) expect(open).toBe(most);
});

test('after kill -9 of the copy, and of its server, only what was under way is sent again', async () => {
  const bytes = bytesOf(24 * MiB, 'killed');
  let sent = 0;
  const counting: Answer = (socket, request) => {
    if (request.range.last > 0) sent += request.range.last - request.range.first + 1;
    return ranged(bytes)(socket, request);
  };
  let server = await serve(counting);
  const port = Number(new URL(server.url).port);
  const { target } = targetIn(scratchFolder());
  const options = { source: urlOf(server), target, chunkBytes: CHUNK, workers: 2 };
  const first = startCopy({ ...options, limitBytesPerSecond: 12 * MiB });
  await first.reached(10 * MiB);
  await first.kill();
  const claimed = (await status(target)).partial?.bytesClaimed ?? 0;
  sent = 0;
  const second = startCopy({ ...options, limitBytesPerSecond: 12 * MiB });
  await second.reached(claimed + 4 * MiB);
  await server.stop();
  server = await serve(counting, port);
  const { result, error } = await second.ended;
  expect(error).toBeUndefined();
  expect(readFileSync(target).equals(bytes)).toBe(true);
  expect(statSync(target).size).toBe(bytes.length);
  expect(result?.bytesReused).toBe(claimed);
  // Lanes that were cut off ask for their chunks once more.
  expect(sent).toBeLessThanOrEqual(bytes.length - claimed + 16 * CHUNK);
});
