/** Copies in the background, on threads of a pool: `background-child SOURCE TARGET`. */
import { createRunner } from '../../dist/src/compose.js';
import { systemClock } from '../../dist/src/core/clock.js';
import { parseLocation } from '../../dist/src/endpoint/location.js';
import { Transfer } from '../../dist/src/transfer/transfer.js';

const [source, target] = process.argv.slice(2).map((path) => parseLocation(path));
const runner = await createRunner(1);
const request = { source, target, background: true, algorithm: 'xxh64', rateBytesPerSecond: 0, reflink: 'never' };
const rest = { overwrite: false, discard: false, sync: true, readBack: false };
await new Transfer({ ...request, ...rest }, { runner, clock: systemClock, random: Math.random }).run();
await runner.close();
