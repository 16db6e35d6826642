/** Draws what has become of the chunks of a copy, in one line. */
import { copy } from 'blockferry';

const SIGNS = { 'to-do': '.', copying: '>', written: '+', recorded: '#', proven: '=', zero: 'o', 're-sent': '!' };

const [source = '', target = ''] = process.argv.slice(2);
const run = copy({ source, target, chunkBytes: 2 ** 20, readBack: true });
for await (const event of run) {
  const map = event.type === 'progress' && run.chunkMap(60);
  if (map) console.log(map.cells.map((state) => SIGNS[state]).join(''));
}
await run.result;
