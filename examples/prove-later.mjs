/** Writes the digests of a copied folder down, so that it can be proven later, when its source is gone. */
import { copyTree, verifyTree } from 'blockferry';

const [source = '', target = '', manifest = ''] = process.argv.slice(2);
await copyTree({ sources: [source], target, recursive: true, manifest }).result;
const { same, files } = await verifyTree({ target, manifest }).result;
console.log(same ? `${files} files are what was copied` : 'something was changed');
