/** One answer, cut into pieces in every way that a network may: the handler always hears the same. */

import fc from 'fast-check';
import type { Dispatcher } from 'undici';
import { expect, test } from 'vitest';
import { Call, type Carrier } from '../../../../src/endpoint/http/call.js';
import { someBytes } from './helpers.js';

const bytes = someBytes(3000, 7);
const head = `HTTP/1.1 206 Partial Content\r\nContent-Length: ${bytes.length}\r\nETag: "v1"\r\n\r\n`;
const answer = Buffer.concat([Buffer.from(head), bytes]);

interface Heard {
  readonly events: string[];
  readonly body: Buffer[];
}

/** Feeds the pieces through one buffer that is used again as soon as it may be, as a connection does. */
function hear(pieces: readonly Buffer[], pauses: (n: number) => boolean): Heard {
  const heard: Heard = { events: [], body: [] };
  const carrier: Carrier = {
    readOn: () => undefined,
    free: () => heard.events.push('free'),
    drop: () => heard.events.push('drop'),
  };
  let lent: Buffer[] = [];
  let count = 0;
  const handler: Dispatcher.DispatchHandler = {
    onResponseStart: (_call, status, headers) => heard.events.push(`start ${status} ${headers.etag}`),
    onResponseData: (call, piece) => {
      expect(call.paused).toBe(false);
      if (pauses(count++)) {
        call.pause();
        lent.push(piece);
      } else heard.body.push(Buffer.from(piece));
    },
    onResponseEnd: () => heard.events.push('end'),
    onResponseError: (_call, error) => heard.events.push((error as NodeJS.ErrnoException).code ?? error.message),
  };
  const call = new Call({ text: '', handler, onRefused: () => heard.events.push('refused'), headMsMax: 60_000 });
  const own = Buffer.alloc(answer.length + 100);
  call.begin();
  call.sentOn(carrier);
  pieces.forEach((piece, at) => {
    // A paused TLS connection still gives what it has decrypted, in buffers of their own.
    const room = call.paused ? Buffer.alloc(piece.length) : own;
    piece.copy(room);
    call.take(room.subarray(0, piece.length));
    while (call.paused && (at % 3 === 0 || at === pieces.length - 1)) {
      expect(heard.events).not.toContain('free');
      heard.body.push(...lent.map((each) => Buffer.from(each)));
      lent = [];
      call.resume();
    }
  });
  return heard;
}

test('wherever an answer is split, and whenever its reader pauses, the bytes are the same', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: answer.length }), { maxLength: 12 }),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }),
      (cuts, pauses) => {
        const edges = [0, ...cuts.sort((a, b) => a - b), answer.length];
        const pieces = edges.slice(1).map((end, at) => answer.subarray(edges[at], end));
        const heard = hear(
          pieces.filter((piece) => piece.length > 0),
          (n) => pauses[n % pauses.length] === true,
        );
        expect(heard.events).toEqual(['start 206 "v1"', 'free', 'end']);
        expect(Buffer.concat(heard.body).equals(bytes)).toBe(true);
      },
    ),
  );
});

test('an answer split in two at each of its bytes is the same answer', () => {
  for (let cut = 1; cut < head.length + 20; cut++) {
    const heard = hear([answer.subarray(0, cut), answer.subarray(cut)], () => false);
    expect(heard.events).toEqual(['start 206 "v1"', 'free', 'end']);
    expect(Buffer.concat(heard.body).equals(bytes)).toBe(true);
  }
});

test('bytes after the end are an error wherever they come, and the connection is dropped', () => {
  const long = Buffer.concat([answer, Buffer.from('x')]);
  for (const cut of [1, head.length, head.length + 1, answer.length - 1]) {
    const { events } = hear([long.subarray(0, cut), long.subarray(cut)], () => false);
    expect(events).toEqual(['start 206 "v1"', 'drop', 'SURPLUS_BYTES']);
  }
});

test('an answer of no bytes ends with its head', () => {
  const { events } = hear([Buffer.from('HTTP/1.1 206 OK\r\nContent-Length: 0\r\n\r\n')], () => false);
  expect(events).toEqual(['start 206 undefined', 'free', 'end']);
});

test('a refused answer is heard of by nobody', () => {
  expect(hear([Buffer.from('HTTP/1.1 206 OK\r\n\r\n')], () => false).events).toEqual(['drop', 'refused']);
});
