/** Copies a file and tells how far it is. */
import { copy } from 'blockferry';

const [source = '', target = ''] = process.argv.slice(2);
const run = copy({ source, target });
for await (const event of run) {
  if (event.type !== 'progress') continue;
  const percent = Math.floor((100 * event.bytesDone) / (event.bytesTotal || 1));
  console.log(`${event.phase}: ${percent} %, ${Math.round(event.rateBytesPerSecond / 2 ** 20)} MiB/s`);
}
const result = await run.result;
console.log(`done: ${result.bytesTotal} bytes at ${result.target}, root ${result.root}`);
