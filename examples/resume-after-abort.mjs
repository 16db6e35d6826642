/** Stops a copy half way, as a user or a shutdown would, and goes on with it: what was finished is not sent again. */
import { copy, TransferError } from 'blockferry';

const [source = '', target = ''] = process.argv.slice(2);
const stop = new AbortController();
const options = { source, target, chunkBytes: 2 ** 20 };

// The limit only makes the copy slow enough to be stopped.
const first = copy({ ...options, limitBytesPerSecond: 8 * 2 ** 20, signal: stop.signal });
for await (const event of first) if (event.type === 'checkpoint') stop.abort();
await first.result.catch((error) => {
  if (!(error instanceof TransferError) || error.code !== 'E_STOPPED') throw error;
  console.log('stopped; what was finished is kept');
});

const second = await copy(options).result;
console.log(`went on: ${second.bytesReused} bytes proven again, ${second.bytesCopied} bytes sent`);
