import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChunkGrid } from '../../../src/core/chunk.js';
import { CLAIM } from '../../../src/journal/journal.js';
import { Plan, type PlanEntry, type PlanFacts } from '../../../src/transfer/plan.js';
import { MAP } from '../../../src/transfer/requests.js';
import { Seeded } from '../../support/seeded.js';

const CHUNK_BYTES = 4096;

interface Scene {
  readonly count: number;
  readonly facts: PlanFacts;
  readonly seed: number;
  /** How often a flush fails, a proof differs, a task is slow. */
  readonly trouble: number;
}

const chunksOf = (count: number, max: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: count, maxLength: count, max });

const scenes: fc.Arbitrary<Scene> = fc.integer({ min: 1, max: 60 }).chain((count) =>
  fc.record({
    count: fc.constant(count),
    seed: fc.nat(),
    trouble: fc.double({ min: 0, max: 0.5, noNaN: true }),
    facts: fc.record({
      sourceMap: fc.option(chunksOf(count, MAP.zero), { nil: undefined }),
      targetMap: fc.option(chunksOf(count, MAP.zero), { nil: undefined }),
      claims: fc.option(chunksOf(count, CLAIM.zero), { nil: undefined }),
      zeroed: fc.boolean(),
      endsLast: fc.boolean(),
    }),
  }),
);

interface Step {
  readonly entry: PlanEntry;
  /** Chunks that were not settled when it was issued. */
  readonly unsettled: ReadonlySet<number>;
  /** It was given back before. */
  readonly returned: boolean;
}

/** Works the plan off as lanes and checkpoints do, in an order and with failures that chance decides. */
function workOff({ count, facts, seed, trouble }: Scene): { plan: Plan; steps: Step[] } {
  const seeded = new Seeded(seed);
  const plan = new Plan(new ChunkGrid(count * CHUNK_BYTES - 5, CHUNK_BYTES), facts);
  const steps: Step[] = [];
  const [active, written, returned] = [new Set<PlanEntry>(), new Set<number>(), new Set<number>()];
  const giveBack = (chunk: number): void => {
    plan.giveBack(chunk);
    returned.add(chunk);
  };
  const finish = (entry: PlanEntry): void => {
    active.delete(entry);
    if (entry.work !== 'prove') {
      plan.written(entry.chunk);
      written.add(entry.chunk);
    } else if (seeded.chance(trouble)) giveBack(entry.chunk);
    else plan.settle(entry.chunk);
  };
  const checkpoint = (): void => {
    const failed = seeded.chance(trouble);
    for (const chunk of written)
      if (failed) giveBack(chunk);
      else plan.settle(chunk);
    written.clear();
  };
  while (plan.unsettled > 0) {
    expect(steps.length).toBeLessThan(100 * count + 100);
    const unsettled = new Set(Array.from({ length: count }, (_, chunk) => chunk).filter((c) => !plan.isSettled(c)));
    const entry = active.size < 3 ? plan.next() : undefined;
    if (entry) {
      active.add(entry);
      steps.push({ entry, unsettled, returned: returned.delete(entry.chunk) });
      if (seeded.chance(0.4)) continue;
    }
    if (active.size > 0) finish(seeded.pick([...active]));
    else {
      checkpoint();
      plan.releaseHeld();
    }
    if (seeded.chance(0.2)) checkpoint();
  }
  return { plan, steps };
}

const property = (check: (scene: Scene, done: ReturnType<typeof workOff>) => void): void =>
  fc.assert(
    fc.property(scenes, (scene) => check(scene, workOff(scene))),
    { numRuns: 400 },
  );

test('every chunk is settled in the end, and then there is nothing to start', () => {
  property(({ count }, { plan }) => {
    expect(Array.from({ length: count }, (_, chunk) => plan.isSettled(chunk))).not.toContain(false);
    expect(plan.unsettled).toBe(0);
    expect(plan.next()).toBeUndefined();
  });
});

test('a chunk is issued once, and again only after it was given back', () => {
  property((_, { steps }) => {
    const issued = new Set<number>();
    for (const { entry, returned } of steps) {
      expect(issued.has(entry.chunk)).toBe(returned);
      issued.add(entry.chunk);
    }
  });
});

test('what the journal claims is proven and not copied, unless the proof failed', () => {
  property(({ facts }, { steps }) => {
    for (const { entry, returned } of steps) {
      if (facts.claims?.[entry.chunk] === CLAIM.chunk && !returned) expect(entry.work).toBe('prove');
      if (returned) expect(entry.work).not.toBe('prove');
    }
  });
});

test('nothing is started where source and target are known to be zero', () => {
  property(({ facts, count }, { steps }) => {
    const started = new Set(steps.map(({ entry }) => entry.chunk));
    for (let chunk = 0; chunk < count; chunk++) {
      const sourceZero = facts.sourceMap?.[chunk] === MAP.zero && facts.claims?.[chunk] !== CLAIM.chunk;
      const targetZero = facts.zeroed || facts.targetMap?.[chunk] === MAP.zero;
      if (sourceZero && targetZero) expect(started.has(chunk)).toBe(false);
      else if (facts.claims?.[chunk] !== CLAIM.zero) expect(started.has(chunk)).toBe(true);
    }
  });
});

test('the target is taken for zero only where nothing was ever started', () => {
  property(({ facts }, { steps }) => {
    const touched = new Set<number>();
    for (const { entry } of steps) {
      const zero = facts.zeroed || facts.targetMap?.[entry.chunk] === MAP.zero;
      if (entry.knownZero) expect(zero && !touched.has(entry.chunk)).toBe(true);
      // What was kept back counts as touched: that is only slower.
      else if (!facts.endsLast) expect(zero && !touched.has(entry.chunk)).toBe(false);
      touched.add(entry.chunk);
    }
  });
});

test('a target that is written in place gets its first and last chunk when all others are on record', () => {
  property(({ count, facts }, { steps }) => {
    if (!facts.endsLast) return;
    for (const { entry, unsettled } of steps) {
      const end = entry.chunk === 0 || entry.chunk === count - 1;
      if (!end || entry.work === 'prove') continue;
      expect([...unsettled].filter((chunk) => chunk !== 0 && chunk !== count - 1)).toEqual([]);
    }
  });
});

test('an empty file has nothing to do', () => {
  const plan = new Plan(new ChunkGrid(0, CHUNK_BYTES), { zeroed: true, endsLast: true });
  expect(plan.unsettled).toBe(0);
  expect(plan.next()).toBeUndefined();
  plan.releaseHeld();
  expect(plan.next()).toBeUndefined();
});
