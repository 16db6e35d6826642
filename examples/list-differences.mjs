/** Compares two files byte by byte, and lists where they differ. */
import { verify } from 'blockferry';

const [target = '', source = ''] = process.argv.slice(2);
const { same, differing, bytesDiffering } = await verify({ target, source }).result;
if (same) console.log('the same bytes');
else console.log(`${bytesDiffering} bytes differ`);
for (const { offset, length } of differing) console.log(`${length} bytes from ${offset} on`);
