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
/** Of a pair; the many of the full matrix wait for one another's processors, and Ceph is no quick one. */
const timeout = (full ? 15 : 5) * 60_000;
const running = new RunningEnds();
process.stdout.write(`matrix: BLOCKFERRY_MATRIX_SEED=${seed}\n`);

describe.concurrent('a copy that loses its server, and then is killed, goes on where it was', () => {
  for (const [number, pairing] of (full ? allPairs() : fewPairs()).entries()) {
    const { from, to } = pairing;
    test(`from ${ends[from].name} to ${ends[to].name}`, { timeout }, async (context) => {
      RunningEnds.need(context, from, to);
      const seeded = new Seeded(seed + number);
      await running.alone([from, to], () => killBoth(pairing, { running, seeded, context }, scale));
    });
  }
});

describe.concurrent('a source that changes in the middle is named, and never mixed', () => {
  for (const [number, from] of SOURCES.entries()) {
    test(ends[from].name, { timeout }, async (context) => {
      RunningEnds.need(context, from);
      const seeded = new Seeded(seed - number);
      await running.alone([from], () => changeSource({ from, to: 'path' }, { running, seeded, context }, scale));
    });
  }
});
