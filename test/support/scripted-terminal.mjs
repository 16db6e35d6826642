/** Draws a run of several files on this terminal, with the reporter of the command: its events are made here. */
import { setTimeout as sleep } from 'node:timers/promises';
import { createReporter } from '../../dist/src/cli/render/reporter.js';
import { Session } from '../../dist/src/cli/session.js';

const FILES = 6;
const STEPS = 20;
const SIZE = 1024 ** 3;

const reporter = await createReporter(new Session(), 'copying', {});
const tell = (event) => reporter.event({ schema: 1, at: Date.now(), ...event });

for (let step = 0; step <= STEPS; step++) {
  for (let file = 0; file < FILES; file++) {
    const path = `images/customer-${file}/a-disk-with-a-rather-long-name-${file}.vhdx`;
    const bytesDone = Math.floor(((step + file) / STEPS) * SIZE);
    if (bytesDone > SIZE) continue;
    if (bytesDone < SIZE) await tell({ type: 'file', state: 'started', path, size: SIZE, bytesDone });
    else if (file === 2) await tell({ type: 'file', state: 'failed', path, size: SIZE, reason: 'its storage is gone' });
    else await tell({ type: 'file', state: 'done', path, size: SIZE });
  }
  const files = { done: Math.floor((step * 400) / STEPS), total: 400, skipped: 3, failed: step > 18 ? 1 : 0 };
  await tell({
    ...{ type: 'progress', phase: 'copying', proof: 'written', bytesReused: 0, bytesZero: 0, files },
    ...{ bytesDone: (step / STEPS) * 8 * SIZE, bytesTotal: 8 * SIZE, rateBytesPerSecond: SIZE / 4, remainingMs: 9000 },
  });
  await sleep(100);
}
reporter.end();
