/** One exchange: how far a body may be ahead of its reader. */
import type { Dispatcher } from 'undici';
import { expect, test } from 'vitest';
import { AHEAD_BYTES_MAX } from '../../../../src/endpoint/http/exchange.js';
import { attachHttpSource } from '../../../../src/endpoint/http.js';
import { never } from '../../../support/reading.js';

const MiB = 1024 * 1024;

test('a body waits in the socket while its reader is slow', async () => {
  const pushed = new Pushed();
  const source = attachHttpSource(
    {
      scheme: 'http',
      url: 'http://h/f',
      finalUrl: 'http://h/f',
      access: { origin: 'http://h', headers: {}, tls: {}, proxies: {} },
      size: 8 * MiB,
      version: { strength: 'none', value: '' },
    } as never,
    { client: pushed as unknown as Dispatcher },
  );
  const reader = source.openChunk({ offset: 0, length: 8 * MiB }, never);
  const block = new Uint8Array(65_536);
  for (let read = block.length; read <= 8 * MiB; read += block.length) {
    expect(await reader.next(block)).toBe(block.length);
    expect(pushed.sent - read).toBeLessThanOrEqual(AHEAD_BYTES_MAX + Pushed.pieceBytes);
  }
  expect(pushed.pauses).toBeGreaterThan(10);
  expect(pushed.sent).toBe(8 * MiB);
});

/** A dispatcher that pushes its body as fast as it may: only a pause holds it back. */
class Pushed {
  static readonly pieceBytes = 40_000;
  sent = 0;
  pauses = 0;
  #paused = false;

  dispatch(_options: unknown, handler: Dispatcher.DispatchHandler): boolean {
    const controller = {
      pause: () => {
        this.#paused = true;
        this.pauses++;
      },
      resume: () => {
        if (!this.#paused) return;
        this.#paused = false;
        push();
      },
      abort: () => undefined,
    } as unknown as Dispatcher.DispatchController;
    const push = (): void => {
      while (!this.#paused && this.sent < 8 * MiB) {
        const count = Math.min(Pushed.pieceBytes, 8 * MiB - this.sent);
        this.sent += count;
        handler.onResponseData?.(controller, Buffer.alloc(count));
      }
      if (!this.#paused && this.sent === 8 * MiB) handler.onResponseEnd?.(controller, {});
    };
    handler.onRequestStart?.(controller, {});
    handler.onResponseStart?.(controller, 206, { 'content-range': `bytes 0-${8 * MiB - 1}/${8 * MiB}` });
    push();
    return true;
  }
}
