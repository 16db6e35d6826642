import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import { describeDisk, mergeDisk } from '../../src/index.js';
import {
  CHAIN_KINDS,
  type ChainKind,
  makeChain,
  needChain,
  readThrough,
  type TestChain,
} from '../support/merge-chains.js';
import { Seeded } from '../support/seeded.js';

const CHILD = fileURLToPath(new URL('../support/merge-child.mjs', import.meta.url));
const kills = Number(process.env.BLOCKFERRY_CRASH_KILLS ?? 50);
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));

const scratch = mkdtempSync(join(tmpdir(), 'merge-crash-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

type Kill =
  | { readonly at: 'never' }
  | { readonly at: 'delay'; readonly ms: number }
  | { readonly at: 'file-call'; readonly call: string; readonly nth: number; readonly when: string };

/** Merges in a process of its own, which may not survive it. */
function mergeIn(chain: TestChain, kill: Kill, into?: 'base'): { readonly killed: boolean; readonly output: string } {
  const child = into === 'base' ? chain.top : chain.child;
  const request = JSON.stringify({ child, kill, ...(into && { into }) });
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [CHILD, request], { encoding: 'utf8' });
  expect(status === 0 || signal === 'SIGKILL', stderr).toBe(true);
  return { killed: signal === 'SIGKILL', output: stdout };
}

let chains = 0;
function newChain(kind: ChainKind, seeded: Seeded): TestChain {
  return makeChain(kind, mkdtempSync(join(scratch, `${chains++}-`)), seeded);
}

const callCounts = new Map<string, [string, number][]>();

/** The calls of a merge of that kind, so that one of them can be chosen by chance. */
function someKill(kind: ChainKind, seeded: Seeded, into?: 'base'): Kill {
  if (seeded.chance(0.15)) return { at: 'delay', ms: seeded.int(1, 400) };
  const key = `${kind} ${into}`;
  let counts = callCounts.get(key);
  if (!counts) {
    const { output } = mergeIn(newChain(kind, new Seeded(seed)), { at: 'never' }, into);
    counts = Object.entries(JSON.parse(output) as Record<string, number>).filter(([, count]) => count > 0);
    callCounts.set(key, counts);
  }
  const [call, count] = seeded.pick(counts);
  const when = seeded.pick(call === 'writeSync' ? ['before', 'after', 'torn'] : ['before', 'after']);
  return { at: 'file-call', call, nth: seeded.int(1, count), when };
}

const leftovers = (chain: TestChain): string[] =>
  readdirSync(join(chain.child, '..')).filter((name) => name.includes('blockferry'));

test.for(CHAIN_KINDS)(
  `%s: a disk reads the same whenever its merge is killed, and the same call finishes it (seed ${seed})`,
  { timeout: 600_000 },
  async (kind, context) => {
    needChain(context, kind);
    const seeded = new Seeded(seed + CHAIN_KINDS.indexOf(kind));
    for (let done = 0; done < Math.ceil(kills / CHAIN_KINDS.length); ) {
      const into = seeded.chance(0.3) ? ('base' as const) : undefined;
      const chain = newChain(kind, seeded);
      let killed = true;
      // A merge that is taken up may be killed as well.
      for (let attempt = 0; killed && attempt < 3; attempt++) {
        const kill = someKill(kind, seeded, into);
        ({ killed } = mergeIn(chain, kill, into));
        done += killed ? 1 : 0;
        const told = `seed ${seed}, ${JSON.stringify({ into, kill, attempt })}`;
        if (isDone(chain, into)) break;
        // Of a whole chain the top may be gone, and only the record of its merge be left.
        if (!existsSync(chain.top)) continue;
        expect((await readThrough(chain.top)).equals(chain.content), told).toBe(true);
        if (existsSync(chain.child))
          expect((await readThrough(chain.child)).equals(chain.childContent), `${told}, child`).toBe(true);
      }
      if (killed) await finished(chain, into);
      await expectMerged(chain, into);
    }
  },
);

/** Killed behind its very last act. */
function isDone(chain: TestChain, into?: 'base'): boolean {
  return !existsSync(into === 'base' ? chain.top : chain.child) && leftovers(chain).length === 0;
}

/** What a user does: the same command again, as long as there is something to merge. */
async function finished(chain: TestChain, into?: 'base'): Promise<void> {
  const child = into === 'base' ? chain.top : chain.child;
  if (!isDone(chain, into)) await mergeDisk({ child, ...(into && { into }) }).result;
}

async function expectMerged(chain: TestChain, into?: 'base'): Promise<void> {
  expect(leftovers(chain)).toEqual([]);
  expect(existsSync(chain.child)).toBe(false);
  expect(existsSync(chain.top)).toBe(into === undefined);
  const end = into === 'base' ? chain.parent : chain.top;
  expect((await readThrough(end)).equals(chain.content)).toBe(true);
  const { images, broken } = await describeDisk(end);
  expect({ broken, names: images.map(({ name }) => name) }).toEqual({
    names: into === 'base' ? [chain.parent] : [chain.top, chain.parent],
  });
}
