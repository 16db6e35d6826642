/**
 * `npm run test:fuzz -- --cases 20000 --seed 1`: many more cases than the tests run. `--only <case>` runs one of them
 * again, and `--save <file>` writes the image that it damages.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { type CorpusImage, diskCorpus } from '../support/disk-corpus.js';
import { caseOf, fuzz } from './fuzz.js';
import { FuzzSubject } from './fuzz-subject.js';

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    save: { type: 'string' },
    // Every case, and not only those that failed.
    all: { type: 'boolean', default: false },
  },
});
const scratch = mkdtempSync(join(tmpdir(), 'blockferry-fuzz-'));
const counts: Record<string, number> = {};
const seed = Number(values.seed);
const folder = join(scratch, 'disk-corpus');
try {
  if (values.only !== undefined && values.save !== undefined) await save(Number(values.only), values.save);
  await fuzz({
    folder,
    cases: Number(values.cases),
    seed,
    ...(values.only !== undefined && { only: Number(values.only) }),
    report: ({ number, name, kind, why, damage }) => {
      counts[kind] = (counts[kind] ?? 0) + 1;
      if (kind !== 'failed' && !values.all) return;
      stdout.write(`${kind}: --seed ${seed} --only ${number} (${name}; ${damage})\n    ${why}\n`);
    },
  });
} finally {
  rmSync(scratch, { recursive: true });
}
const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
const told = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
stdout.write(`Damaged images: ${total}, of which ${told.join(', ')}; seed ${seed}\n`);
process.exitCode = counts.failed || total === 0 ? 1 : 0;

async function save(number: number, path: string): Promise<void> {
  const corpus = diskCorpus(folder);
  const subject = await FuzzSubject.open(corpus[caseOf(corpus, number).image] as CorpusImage);
  subject.save(seed + number, path);
  subject.close();
}
