import { randomInt } from 'node:crypto';
import { describe, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { Seeded } from '../support/seeded.js';
import { changeSource, killBoth, type Scale } from './cases.js';
import { allPairs, ends, fewPairs, SOURCES } from './ends.js';
import { RunningEnds } from './running-ends.js';

const full = process.env.BLOCKFERRY_MATRIX === 'full';
const seed = Number(process.env.BLOCKFERRY_MATRIX_SEED ?? randomInt(2 ** 31));
const scale: Scale = { sizeBytes: (full ? 300 : 40) * MiB, chunkBytes: 5 * MiB };
const running = new RunningEnds();
process.stdout.write(`matrix: BLOCKFERRY_MATRIX_SEED=${seed}\n`);

describe('a copy that loses its server, and then is killed, goes on where it was', () => {
  for (const [number, pairing] of (full ? allPairs() : fewPairs()).entries()) {
    const { from, to } = pairing;
    test(`from ${ends[from].name} to ${ends[to].name}`, async (context) => {
      const reason = RunningEnds.whyNot(from, to);
      context.skip(reason !== '', reason);
      await killBoth(pairing, running, new Seeded(seed + number), scale);
    });
  }
});

describe('a source that changes in the middle is named, and never mixed', () => {
  for (const [number, from] of SOURCES.entries()) {
    test(ends[from].name, async (context) => {
      const reason = RunningEnds.whyNot(from);
      context.skip(reason !== '', reason);
      await changeSource({ from, to: 'path' }, running, new Seeded(seed - number), scale);
    });
  }
});
