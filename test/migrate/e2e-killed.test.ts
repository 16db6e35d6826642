/** What moves a real machine is killed, or the machine itself: it is at the target then, or back at the source. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { MigrationRequest, MigrationView } from '../../src/migrate/migration-service.js';
import type { Step } from '../../src/migrate/steps.js';
import {
  expectAt,
  expectDone,
  expectNothingLost,
  folderOf,
  imagesIn,
  withMigrations,
} from '../support/guest/moving.js';
import { buildGuest } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';
import { Seeded } from '../support/seeded.js';

const built = buildGuest();
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? Math.floor(Math.random() * 2 ** 31));
const CHILD = join(import.meta.dirname, '../support/moving-child.mjs');

interface Kill {
  readonly step: Step;
  readonly afterMs: number;
}

/** What the migration came to; undefined: the process that holds it was killed before. */
async function carryOut(state: string, request: MigrationRequest, kill?: Kill): Promise<MigrationView | undefined> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify({ state, request, kill })], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [said, wrong] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    wrong += text;
  });
  const [code, signal] = await once(child, 'close');
  if (signal === 'SIGKILL') return undefined;
  expect(code, wrong).toBe(0);
  return JSON.parse(said) as MigrationView;
}

let host: TestHost;
beforeEach(() => {
  host = new TestHost();
});
afterEach(async () => {
  await host.close();
});

describe.skipIf(typeof built === 'string')('a running machine moves to other storage', { timeout: 300_000 }, () => {
  if (typeof built === 'string') return;
  test(`and arrives, though the service is killed before the blackout, in it and after it (seed ${seed})`, async () => {
    const seeded = new Seeded(seed);
    const vm = await host.machine(built, [['vhdx'], ['vhd-fixed', 'qcow2']]);
    const target = join(host.folder, 'there');
    const guest = host.guest(vm);
    await host.hypervisor.start(vm);
    const { boot } = await guest.reaches(100);
    const [state, request] = [join(host.folder, 'state'), { vm: vm.id, paths: { folder: target } }];
    const moments: readonly (readonly Step[])[] = [
      ['placeholder', 'snapshot', 'copy-bases'],
      ['save-state', 'copy-delta', 'prove', 're-point'],
      ['switch-over', 'start', 'resume', 'merge'],
    ];
    let kills = 0;
    for (const steps of moments) {
      const kill = { step: seeded.pick(steps), afterMs: seeded.int(0, 80) };
      const view = await carryOut(state, request, kill);
      if (view === undefined) kills++;
      else expectDone(view);
    }
    expect(kills).toBeGreaterThan(0);
    const view = await carryOut(state, request);
    if (view) expectDone(view);
    const now = await expectAt(host, vm, target);
    expect(imagesIn(folderOf(vm))).toEqual([]);
    await expectNothingLost(host, built, { vm: now, guest, boot });
  });

  test('and arrives with its memory, though both are killed while it stands still and before it runs', async () => {
    const vm = await host.machine(built, [['vhdx'], ['qcow2']]);
    const target = join(host.folder, 'there');
    const guest = host.guest(vm);
    await host.hypervisor.start(vm);
    const { boot } = await guest.reaches(100);
    const [state, request] = [join(host.folder, 'state'), { vm: vm.id, paths: { folder: target } }];
    for (const step of ['copy-delta', 'resume'] as const) {
      expect(await carryOut(state, request, { step, afterMs: 0 })).toBeUndefined();
      // On a slow machine it may run by then: whoever kills it now cuts it off.
      if ((await host.hypervisor.state(vm)) === 'running') break;
      process.kill(host.hypervisor.pid(vm.id) ?? 0, 'SIGKILL');
    }
    const view = await carryOut(state, request);
    if (view) expectDone(view);
    const now = await expectAt(host, vm, target);
    await expectNothingLost(host, built, { vm: now, guest, boot });
  });

  test('and is cut off while it is copied: it starts again at the source, says so, and can be moved then', async () => {
    const vm = await host.machine(built, [['vhd-dynamic'], ['raw']]);
    const guest = host.guest(vm);
    await host.hypervisor.start(vm);
    await guest.reaches(200);
    const target = join(host.folder, 'there');
    const request = { vm: vm.id, paths: { folder: target } };
    await withMigrations(host, async (migrations, told) => {
      const stop = new AbortController();
      const events = migrations.events({ after: 0 }, stop.signal);
      const { id } = await migrations.start(request);
      for await (const { event } of events) {
        if (event.type === 'step' && event.step === 'copy-bases' && event.state === 'started') break;
      }
      stop.abort();
      process.kill(host.hypervisor.pid(vm.id) ?? 0, 'SIGKILL');
      const last = guest.heartbeats.at(-1);
      const cut = await migrations.settled(id);
      expect(cut).toMatchObject({ state: 'failed', switchedOver: false, error: { code: 'E_VM_STATE' } });
      const notes = told.flatMap(({ event }) => (event.type === 'note' ? [event.message] : []));
      expect(notes.join('\n')).toContain('power cut');

      // What the guest had written is there, in whole records: its new start has not written over them yet.
      const back = await host.vms.get(vm.id);
      expect(back).toMatchObject({ state: 'running', ownership: { state: 'here' } });
      await host.hypervisor.stop(back.vm);
      const found = host.scan(built, back.vm);
      expect(found.map(({ wrong }) => wrong)).toEqual([0, 0]);
      for (const { seq } of found) expect(seq).toBeGreaterThanOrEqual(last?.seq ?? Number.NaN);

      await host.hypervisor.start(back.vm);
      await migrations.cutover(id, { anyway: true });
      expectDone(await migrations.settled(id));
    });
    const now = await expectAt(host, vm, target);
    expect(imagesIn(folderOf(vm))).toEqual([]);
    await host.hypervisor.stop(now);
    while ((await host.hypervisor.state(now)) !== 'off') await systemClock.sleep(20);
    expect(host.scan(built, now).map(({ wrong }) => wrong)).toEqual([0, 0]);
  });
});
