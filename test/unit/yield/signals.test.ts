import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { meter } from '../../../src/core/pace-level.js';
import { KiB } from '../../../src/core/units.js';
import { newOwnLevels } from '../../../src/yield/controller.js';
import { deviceBelow } from '../../../src/yield/device.js';
import { Signals } from '../../../src/yield/signals.js';
import { scratchFolder } from '../../support/copying.js';

/** A system of one disk, as much of it as is looked at, in folders of the test. */
class FakeSystem {
  readonly folders: { readonly sys: string; readonly proc: string };
  readonly device: { readonly key: string; readonly name: string; readonly statistics: string };

  constructor(folder: string) {
    this.folders = { sys: join(folder, 'sys'), proc: join(folder, 'proc') };
    for (const path of ['sys/block/sdx', 'proc/self', 'proc/pressure'])
      mkdirSync(join(folder, path), { recursive: true });
    this.device = { key: '8:16', name: 'sdx', statistics: join(folder, 'sys/block/sdx/stat') };
    this.disk(0, 0);
  }

  disk(requests: number, bytes: number): void {
    writeFileSync(this.device.statistics, `${requests} 0 ${bytes / 512} 0 0 0 0 0 0 0 0\n`);
  }

  pressure(stalledUs: number): void {
    writeFileSync(
      join(this.folders.proc, 'pressure/io'),
      `some avg10=0.00 avg60=0.00 avg300=0.00 total=${stalledUs}\n`,
    );
  }

  own(readBytes: number): void {
    writeFileSync(join(this.folders.proc, 'self/io'), `read_bytes: ${readBytes}\n`);
  }
}

const BLOCK = 64 * KiB;

test('what others do is what the device did, less what we did', () => {
  const system = new FakeSystem(scratchFolder());
  const levels = newOwnLevels();
  const signals = new Signals(levels, system.device, system.folders);
  for (let tick = 1; tick <= 10; tick++) {
    for (let block = 0; block < 4; block++) meter(new BigInt64Array(levels.reads), BLOCK, 1_000_000n);
    system.disk(tick * (4 + 19), tick * (4 * BLOCK + 19 * 4096));
    const { others, blocks, latencyMs } = signals.sample(100);
    expect({ blocks, latencyMs }).toEqual({ blocks: 4, latencyMs: 4 });
    if (tick >= 5) expect(others).toEqual({ requests: 19, bytes: 19 * 4096 });
  }
});

test('ours that show a moment later, and one flush of somebody, are no neighbour', () => {
  const system = new FakeSystem(scratchFolder());
  const levels = newOwnLevels();
  const signals = new Signals(levels, system.device, system.folders);
  for (let tick = 1; tick <= 30; tick++) {
    for (let block = 0; block < 4; block++) meter(new BigInt64Array(levels.writes), BLOCK, 1_000_000n);
    const early = tick % 2 === 0 ? 3 : 0;
    const flushes = tick >= 15 ? 40 : 0;
    system.disk(tick * 4 + early + flushes, (tick * 4 + early) * BLOCK);
    expect(signals.sample(100).others?.requests).toBeLessThanOrEqual(3);
  }
});

test('what we read from the page cache hides nobody at the device', () => {
  const system = new FakeSystem(scratchFolder());
  const levels = newOwnLevels();
  system.own(0);
  const signals = new Signals(levels, system.device, system.folders);
  for (let tick = 1; tick <= 10; tick++) {
    for (let block = 0; block < 100; block++) meter(new BigInt64Array(levels.reads), BLOCK, 10_000n);
    system.disk(tick * 19, tick * 19 * 4096);
    const { others } = signals.sample(100);
    if (tick >= 5) expect(others?.requests).toBe(19);
  }
});

test('pressure is that of others: what we wait for ourselves is taken off', () => {
  const system = new FakeSystem(scratchFolder());
  const levels = newOwnLevels();
  system.pressure(0);
  const signals = new Signals(levels, system.device, system.folders);
  meter(new BigInt64Array(levels.reads), BLOCK, 30_000_000n);
  system.pressure(90_000);
  expect(signals.sample(100).pressure).toBeCloseTo(0.6);
  system.pressure(90_000);
  expect(signals.sample(100).pressure).toBe(0);
});

test.each(['', 'nonsense', '-1 -1 -1', '9'.repeat(5000)])('statistics that say %j say nothing', (text) => {
  const system = new FakeSystem(scratchFolder());
  writeFileSync(system.device.statistics, text);
  const signals = new Signals(newOwnLevels(), system.device, system.folders);
  expect(signals.seesOthers).toBe(false);
  expect(signals.sample(100).others).toBeUndefined();
});

test('counters that run backwards, as of a disk that was taken out and put back, show nobody', () => {
  const system = new FakeSystem(scratchFolder());
  const signals = new Signals(newOwnLevels(), system.device, system.folders);
  for (let tick = 10; tick > 0; tick--) {
    system.disk(tick * 1000, tick * 1000 * 4096);
    expect(signals.sample(100).others ?? { requests: 0, bytes: 0 }).toMatchObject(tick === 10 ? {} : { requests: 0 });
  }
});

test('of a link only our own requests are known', () => {
  const signals = new Signals(newOwnLevels(), 'backup.example');
  expect(signals.sample(100)).toEqual({
    ...{ ms: 100, bytes: 0, blocks: 0, blockBytes: 0, latencyMs: 0, latencyMs2: 0, fastestMs: 0, link: true },
  });
});

test('a path lies on the whole disk, whatever partition of it that is', async () => {
  const folder = scratchFolder();
  const { dev } = (await import('node:fs')).statSync(folder, { bigint: true });
  const number = (await import('../../../src/yield/readings.js')).deviceNumber(dev);
  const [sys, proc] = [join(folder, 'sys'), join(folder, 'proc')];
  mkdirSync(join(sys, 'devices/sdx/sdx1'), { recursive: true });
  mkdirSync(join(sys, 'dev/block'), { recursive: true });
  symlinkSync('../../devices/sdx/sdx1', join(sys, 'dev/block', number));
  writeFileSync(join(sys, 'devices/sdx/sdx1/partition'), '1\n');
  writeFileSync(join(sys, 'devices/sdx/stat'), '1 0 8 0 0 0 0 0 0 0 0\n');
  writeFileSync(join(sys, 'devices/sdx/dev'), '8:16\n');
  const found = await deviceBelow(join(folder, 'not-there-yet'), { sys, proc });
  expect(found).toEqual({ key: '8:16', name: 'sdx', statistics: join(sys, 'devices/sdx/stat') });
});

test('a path on no block device is known by its mount, and has no statistics', async () => {
  const folder = scratchFolder();
  const found = await deviceBelow(join(folder, 'a'), { sys: join(folder, 'none'), proc: join(folder, 'none') });
  expect(found.statistics).toBeUndefined();
  expect((await deviceBelow('relative/no/such', { sys: folder, proc: folder })).statistics).toBeUndefined();
});
