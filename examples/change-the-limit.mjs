/** Copies slowly beside other work, and at full speed once that is over. */
import { copy } from 'blockferry';

const [source = '', target = ''] = process.argv.slice(2);
const run = copy({ source, target, limitBytesPerSecond: 4 * 2 ** 20 });
let ticks = 0;
for await (const event of run) {
  if (event.type === 'limit') console.log(`held back by: ${event.reason}`);
  // The new limit holds from the next block on; 0 lifts it.
  if (event.type === 'progress' && ++ticks === 4) await run.setLimit(0);
}
console.log(`done in ${(await run.result).elapsedMs} ms`);
