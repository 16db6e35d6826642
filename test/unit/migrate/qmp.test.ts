import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { Qmp } from '../../../src/migrate/qemu/qmp.js';

const GREETING = '{"QMP": {"version": {}, "capabilities": []}}\r\n';
const EVENT = '{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n';

type Request = { readonly execute: string; readonly id: string; readonly arguments: unknown };
/** What the other side does with a command; it has agreed on its capabilities by then. */
type Answer = (request: Request, socket: Socket) => void;

let folder: string;
let server: Server | undefined;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'qmp-'));
});
afterEach(() => {
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A monitor that is no QEMU. */
async function monitor(answer: Answer, greeting = GREETING): Promise<string> {
  const path = join(folder, 'qmp.sock');
  const made = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.write(greeting);
    let line = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      line += text;
      for (let end = line.indexOf('\n'); end >= 0; end = line.indexOf('\n')) {
        const request = JSON.parse(line.slice(0, end)) as Request;
        line = line.slice(end + 1);
        if (request.execute === 'qmp_capabilities') reply(request, socket, {});
        else answer(request, socket);
      }
    });
  });
  server = made;
  await new Promise<void>((resolve) => made.listen(path, resolve));
  return path;
}

function reply({ id }: Request, socket: Socket, value: unknown): void {
  socket.write(`${JSON.stringify({ return: value, id })}\r\n`);
}

const codeOf = (work: Promise<unknown>): Promise<string> => work.then(String, (thrown) => thrown.code);

test('answers find their calls in whatever order they come, with events in between and in pieces', async () => {
  const asked: Request[] = [];
  const path = await monitor((request, socket) => {
    asked.push(request);
    if (asked.length < 2) return;
    socket.write(EVENT);
    for (const one of asked.toReversed()) {
      const text = `${JSON.stringify({ return: one.execute, id: one.id })}\r\n`;
      for (const letter of text) socket.write(letter);
    }
  });
  const qmp = await Qmp.open(path, systemClock);
  expect(await Promise.all([qmp.execute('one'), qmp.execute('two', { a: 1 })])).toEqual(['one', 'two']);
  expect(asked[1]).toMatchObject({ execute: 'two', arguments: { a: 1 } });
  qmp.close();
});

test('a refusal says what QEMU said, without what a terminal would act on; a full storage has a code', async () => {
  const path = await monitor(({ id, execute }, socket) => {
    const desc = execute === 'full' ? 'write: No space left on device' : 'no \u001b[2Jsuch node';
    socket.write(`${JSON.stringify({ id, error: { class: 'GenericError', desc } })}\n`);
  });
  const qmp = await Qmp.open(path, systemClock);
  await expect(qmp.execute('blockdev-del')).rejects.toMatchObject({
    code: 'E_HYPERVISOR',
    message: expect.stringMatching(/^QEMU refuses blockdev-del: no [^\p{Cc}]*such node$/u),
  });
  expect(await codeOf(qmp.execute('full'))).toBe('E_NO_SPACE');
  qmp.close();
});

test('a connection that ends rejects every call that waits, and every one after it', async () => {
  const path = await monitor(({ execute }, socket) => {
    if (execute === 'quit') socket.destroy();
  });
  const qmp = await Qmp.open(path, systemClock);
  const waiting = [qmp.execute('first'), qmp.execute('second'), qmp.execute('quit'), qmp.eventOr(60_000)];
  expect(await Promise.all(waiting.map(codeOf))).toEqual(waiting.map(() => 'E_HYPERVISOR'));
  expect(await codeOf(qmp.execute('third'))).toBe('E_HYPERVISOR');
  expect(qmp.isOpen).toBe(false);
});

test.each([
  ['a line that is no JSON', '{"return": \n'],
  ['a line that is no object', '7\n'],
  ['a line that never ends', 'x'.repeat(9 * 1024 * 1024)],
])('%s ends the connection', async (_, said) => {
  const path = await monitor((_request, socket) => socket.write(said));
  const qmp = await Qmp.open(path, systemClock);
  await expect(qmp.execute('query-status')).rejects.toMatchObject({
    code: 'E_HYPERVISOR',
    message: expect.stringMatching(/is not understood/),
  });
});

test('who does not answer in time is told so, and nobody hangs; the next call may still be answered', async () => {
  const path = await monitor((request, socket) => {
    if (request.execute === 'query-status') reply(request, socket, 'here');
  });
  const qmp = await Qmp.open(path, systemClock);
  expect(await codeOf(qmp.execute('query-block', {}, 20))).toBe('E_TIMEOUT');
  expect(await qmp.execute('query-status')).toBe('here');
  qmp.close();
});

test('a monitor that greets nobody, or is not there, is told as that', async () => {
  expect(await codeOf(Qmp.open(join(folder, 'none.sock'), systemClock))).toBe('E_HYPERVISOR');
  const path = await monitor(() => undefined, EVENT);
  expect(await codeOf(Qmp.open(path, systemClock, 20))).toBe('E_TIMEOUT');
});
