import { randomInt } from 'node:crypto';
import { describe, test } from 'vitest';
import { twoHosts } from '../support/namespaces.js';
import { Seeded } from '../support/seeded.js';
import { type EndName, ends, SOURCES, TARGETS } from './ends.js';
import { cutLink, loseAndPull, type Remote, stallLink } from './link-cases.js';
import { RunningEnds } from './running-ends.js';

const seed = Number(process.env.BLOCKFERRY_MATRIX_SEED ?? randomInt(2 ** 31));
const running = new RunningEnds();
process.stdout.write(`links: BLOCKFERRY_MATRIX_SEED=${seed}\n`);

/** What is reached over a network of ours, and not by a mount. */
const LOCAL: readonly EndName[] = ['path', 'device', 'share'];
const remotes: readonly Remote[] = [
  ...SOURCES.map((name) => ({ name, as: 'source' }) as const),
  ...TARGETS.map((name) => ({ name, as: 'target' }) as const),
].filter(({ name }) => !LOCAL.includes(name));

describe.concurrent('a link that is down for a while delays a copy, and no more', () => {
  for (const [number, remote] of remotes.entries()) {
    test(`${ends[remote.name].name} as ${remote.as}`, { timeout: 180_000 }, async (context) => {
      RunningEnds.need(context, remote.name);
      await cutLink(remote, { running, seeded: new Seeded(seed + number), context });
    });
  }
});

describe.concurrent('a cable of 200 Mbit that loses packets, is out for a moment and has resets delays a copy', () => {
  for (const [number, remote] of remotes.entries()) {
    test(`${ends[remote.name].name} as ${remote.as}`, { timeout: 180_000 }, async (context) => {
      RunningEnds.need(context, remote.name);
      await loseAndPull(remote, { running, seeded: new Seeded(seed + number), context }, twoHosts(context));
    });
  }
});

test('servers that fall silent are told after a minute, and asked again', { timeout: 200_000 }, async (context) => {
  const here = remotes.filter(({ name }) => RunningEnds.whyNot(name) === '');
  const stalls = here.map((remote, number) =>
    stallLink(remote, { running, seeded: new Seeded(seed + number), context }),
  );
  await Promise.all(stalls);
});
