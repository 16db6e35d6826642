import { randomInt } from 'node:crypto';
import { describe, type TestContext, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { twoHosts } from '../support/namespaces.js';
import { Seeded } from '../support/seeded.js';
import { changeSource, killBoth, type Scale } from './cases.js';
import { allPairs, type EndName, ends, fewPairs, SOURCES, TARGETS } from './ends.js';
import { cutLink, loseAndPull, type Remote, stallLink } from './link-cases.js';
import { RunningEnds } from './running-ends.js';

const full = process.env.BLOCKFERRY_MATRIX === 'full';
const seed = Number(process.env.BLOCKFERRY_MATRIX_SEED ?? randomInt(2 ** 31));
const scale: Scale = { sizeBytes: (full ? 300 : 40) * MiB, chunkBytes: 5 * MiB };
const running = new RunningEnds();
process.stdout.write(`matrix: BLOCKFERRY_MATRIX_SEED=${seed}\n`);

/** Skips the test where one of its ends cannot be had. */
function need(context: TestContext, ...names: readonly EndName[]): void {
  const reason = RunningEnds.whyNot(...names);
  context.skip(reason !== '', reason);
}

/** All that are reached over a network of ours, and not by a mount. */
const NOT_REMOTE: readonly EndName[] = ['path', 'device', 'share'];
const remotes: readonly Remote[] = [
  ...SOURCES.map((name) => ({ name, as: 'source' }) as const),
  ...TARGETS.map((name) => ({ name, as: 'target' }) as const),
].filter(({ name }) => !NOT_REMOTE.includes(name));

describe('a copy that loses its server, and then is killed, goes on where it was', () => {
  for (const [number, pairing] of (full ? allPairs() : fewPairs()).entries()) {
    const { from, to } = pairing;
    test(`from ${ends[from].name} to ${ends[to].name}`, async (context) => {
      need(context, from, to);
      await killBoth(pairing, running, new Seeded(seed + number), scale);
    });
  }
});

describe('a source that changes in the middle is named, and never mixed', () => {
  for (const [number, from] of SOURCES.entries()) {
    test(ends[from].name, async (context) => {
      need(context, from);
      await changeSource({ from, to: 'path' }, running, new Seeded(seed - number), scale);
    });
  }
});

describe('a link that is down for a while delays a copy, and no more', () => {
  for (const [number, remote] of remotes.entries()) {
    test(`${ends[remote.name].name} as ${remote.as}`, async (context) => {
      need(context, remote.name);
      await cutLink(remote, running, new Seeded(seed + number));
    });
  }
});

describe('between two hosts, a cable that loses packets and is out for a moment delays a copy, and no more', () => {
  for (const [number, remote] of remotes.entries()) {
    test(`${ends[remote.name].name} as ${remote.as}`, async (context) => {
      need(context, remote.name);
      await loseAndPull(remote, running, { hosts: twoHosts(context), seeded: new Seeded(seed + number) });
    });
  }
});

test('servers that fall silent are told after a minute, and asked again', { timeout: 200_000 }, async () => {
  const here = remotes.filter(({ name }) => RunningEnds.whyNot(name) === '');
  await Promise.all(here.map((remote, number) => stallLink(remote, running, new Seeded(seed + number))));
});
