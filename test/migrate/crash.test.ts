/** Blockferry is killed again and again while it migrates a machine that runs: the machine ends at one host, whole. */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { STEPS, type Step } from '../../src/migrate/steps.js';
import { scratchFolder } from '../support/copying.js';
import { FakeWorld } from '../support/fake-hosts.js';
import { expectRuns, filesIn, makeVm, type VmWish } from '../support/migrating.js';
import { carryOut, type Kill } from '../support/migration-run.js';
import { Seeded } from '../support/seeded.js';

const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));

function begin(wish: VmWish, to: string) {
  const world = new FakeWorld();
  const [source, target] = [join(scratchFolder(), 'vm'), join(scratchFolder(), 'there')];
  const vm = makeVm(source, wish);
  const before = filesIn(source);
  world.host('local').add(vm, true);
  world.run();
  onTestFinished(async () => {
    await world.stop();
    expect(world.violations).toEqual([]);
  });
  const state = scratchFolder();
  const bootId = world.guests(vm.id)[0]?.bootId;
  const request = { vm: vm.id, to, paths: { folder: target } };
  const run = async (kill?: Kill, abortAt?: Step) => {
    const view = await carryOut(world, { state, request, ...(kill && { kill }), ...(abortAt && { abortAt }) });
    expect(view?.error, view?.reason).toBeUndefined();
    // Never both, and never neither: somebody owns it, or the migration will give it to its target.
    expect(world.guests(vm.id).filter((guest) => guest.state === 'running').length).toBeLessThanOrEqual(1);
    return view;
  };
  const arrived = (): void => {
    expectRuns({ world, vm }, to, bootId);
    expect(filesIn(source)).toEqual([]);
    expect(filesIn(target)).toEqual(
      vm.disks.flatMap(({ chain }) => chain.map(({ path }) => path.split('/').at(-1))).sort(),
    );
  };
  const back = async (): Promise<void> => {
    expectRuns({ world, vm }, 'local', bootId);
    expect((await world.host('local').get(vm.id)).vm).toEqual(vm);
    expect(filesIn(target)).toEqual([]);
    expect(filesIn(source)).toEqual(before);
  };
  return { world, vm, run, arrived, back };
}

test.each(['local', 'other'])(
  'killed at the beginning and the end of every step, the machine arrives (%s)',
  {
    timeout: 180_000,
  },
  async (to) => {
    const { run, arrived } = begin({ disks: 2, snapshots: 1 }, to);
    let kills = 0;
    // The last end may come too late for it.
    for (let place = 2; place < 2 * STEPS.length + 1; place++) {
      if ((await run({ place })) === undefined) kills++;
    }
    expect(kills).toBe(2 * STEPS.length - 1);
    expect(await run()).toMatchObject({ state: 'done' });
    arrived();
  },
);

test(`killed at any moment, the machine arrives with all that was written (seed ${seed})`, {
  timeout: 180_000,
}, async () => {
  const seeded = new Seeded(seed);
  for (let time = 0; time < 3; time++) {
    const to = seeded.pick(['local', 'other']);
    const { run, arrived } = begin({ disks: seeded.int(1, 2), snapshots: seeded.int(0, 1), baseBytes: 3 * MiB }, to);
    let kills = 0;
    for (let child = 0; child < 12; child++) {
      const kill = seeded.chance(0.3) ? { afterMs: seeded.int(100, 500) } : { moment: seeded.int(2, 40) };
      if ((await run(kill)) !== undefined) break;
      kills++;
    }
    expect(kills).toBeGreaterThan(0);
    expect(await run()).toMatchObject({ state: 'done' });
    arrived();
  }
});

test(`killed while it aborts, the machine is back at the source, or has arrived (seed ${seed})`, {
  timeout: 180_000,
}, async () => {
  const seeded = new Seeded(seed);
  const abortAt: readonly Step[] = ['copy-bases', 'save-state', 're-point', 'switch-over'];
  for (const step of abortAt) {
    const { run, arrived, back } = begin({ disks: 1, snapshots: 1 }, 'other');
    let view: Awaited<ReturnType<typeof run>>;
    for (let child = 0; child < 6 && !view; child++) view = await run({ moment: seeded.int(12, 80) }, step);
    view ??= await run(undefined, step);
    expect(['aborted', 'done']).toContain(view?.state);
    if (view?.state === 'done') arrived();
    else await back();
  }
});

test('both are killed, Blockferry and the machine that stands still: it arrives all the same', async () => {
  const { world, vm, run, arrived } = begin({ disks: 1 }, 'other');
  expect(await run({ place: 2 * STEPS.indexOf('save-state') + 3 })).toBeUndefined();
  world.host('local').killGuest(vm.id);
  expect(await run()).toMatchObject({ state: 'done' });
  arrived();
});
