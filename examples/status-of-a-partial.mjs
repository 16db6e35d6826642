/** Tells what an interrupted copy holds, without touching it. */
import { status } from 'blockferry';

const [target = ''] = process.argv.slice(2);
const { exists, partial } = await status(target);
if (partial) {
  const onRecord = partial.bytesClaimed + partial.bytesZero;
  console.log(`${onRecord} of ${partial.bytesTotal} bytes of ${partial.source} are on record`);
  if (partial.stopped) console.log(`it stopped with ${partial.stopped.code}`);
} else console.log(exists ? 'complete' : 'nothing is there');
