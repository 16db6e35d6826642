/**
 * A process of its own, this file, that copies to `null:`: reading and hashing, with nothing written. It uses the
 * library, and writes down the root, so that the hashes can be checked.
 */
import { writeFileSync } from 'node:fs';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Algorithm } from '../src/core/digest.js';
import { copy, type TransferResult } from '../src/index.js';

const SELF = fileURLToPath(import.meta.url);

export type HashResult = Pick<TransferResult, 'algorithm' | 'chunkBytes' | 'bytesTotal' | 'root'>;

/** The command that hashes the source and writes a {@link HashResult} to a file, as JSON. */
export function hashCommand(algorithm: Algorithm, source: string, resultFile: string): readonly string[] {
  return [execPath, SELF, algorithm, source, resultFile];
}

if (argv[1] === SELF) {
  const [algorithm, source = '', resultFile = ''] = argv.slice(2);
  const run = copy({ source, target: 'null:', algorithm: algorithm as Algorithm, sync: false });
  const { chunkBytes, bytesTotal, root } = await run.result;
  writeFileSync(resultFile, JSON.stringify({ algorithm, chunkBytes, bytesTotal, root }));
}
