import { expect, test } from 'vitest';
import type { EventBody, TransferEvent } from '../../../src/core/events.js';
import { EventStream } from '../../../src/transfer/event-stream.js';
import { noTime } from '../../support/scripted-run.js';

const note = (message: string): EventBody => ({ type: 'note', message });
const progress = (bytesDone: number): EventBody => ({
  type: 'progress',
  phase: 'copying',
  proof: 'written',
  bytesDone,
  bytesTotal: 100,
  bytesReused: 0,
  bytesZero: 0,
  rateBytesPerSecond: 0,
  spent: noTime,
});

async function rest(stream: EventStream): Promise<TransferEvent[]> {
  const events: TransferEvent[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

const words = (events: readonly TransferEvent[]): (string | number)[] =>
  events.map((event) => (event.type === 'note' ? event.message : event.type === 'progress' ? event.bytesDone : '?'));

test('events are stamped with schema and time, and come in order, the last before the end', async () => {
  let now = 1000;
  const stream = new EventStream(() => now++);
  stream.emit(note('one'));
  stream.emit(note('two'));
  stream.end();
  expect(await rest(stream)).toEqual([
    { schema: 1, at: 1000, type: 'note', message: 'one' },
    { schema: 1, at: 1001, type: 'note', message: 'two' },
  ]);
});

test('a reader that waits gets an event as it comes, and ends with the stream', async () => {
  const stream = new EventStream(() => 0);
  const reader = stream[Symbol.asyncIterator]();
  const first = reader.next();
  stream.emit(note('one'));
  expect(words([(await first).value])).toEqual(['one']);
  const second = reader.next();
  stream.end();
  expect((await second).done).toBe(true);
});

test('a slow reader misses progress, which the next one makes good, and nothing else', async () => {
  const stream = new EventStream(() => 0);
  for (const body of [progress(1), progress(2), note('a'), progress(3), progress(4), progress(5), note('b')]) {
    stream.emit(body);
  }
  stream.end();
  expect(words(await rest(stream))).toEqual([2, 'a', 5, 'b']);
});

test('a stream that nobody reads stays small, and keeps what came last', async () => {
  const stream = new EventStream(() => 0);
  for (let n = 0; n < 100_000; n++) stream.emit(note(String(n)));
  stream.end();
  const events = await rest(stream);
  expect(events.length).toBeLessThanOrEqual(4096);
  expect(words(events.slice(-1))).toEqual(['99999']);
});
