/** Copies a folder with all that is in it; run again, it copies what is missing. Files that fail end nothing. */
import { copyTree } from 'blockferry';

const [source = '', target = ''] = process.argv.slice(2);
const run = copyTree({ sources: [source], target, recursive: true, exclude: ['*.tmp'] });
for await (const event of run) if (event.type === 'file' && event.error) console.log(event.path, event.error.code);
const { files, skipped, failed, refused } = await run.result;
console.log(`${files} copied, ${skipped} there already, ${failed + refused} left out`);
