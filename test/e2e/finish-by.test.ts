import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { startTestControl } from '../support/control.js';
import { sampleTime } from '../support/dashboard-looks.js';
import { blockferry, MAIN, start, workFolder } from './command.js';

const ROOT = { name: 'root', admin: true };

test('--finish-by is told in the progress, with when that is, and the copy is as it always is', async () => {
  // Never slower than 1 MiB/s, so that this takes two seconds at most.
  const { folder } = await workFolder(2 * MiB);
  const finishBy = new Date(Date.now() + 60_000).toISOString();
  const { exitCode, out } = await blockferry(folder, 'copy', '--json', '--finish-by', finishBy, 'disk.img', 'copy.img')
    .ended;
  expect(exitCode).toBe(0);
  const events = out
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  const progress = events.filter(({ type }) => type === 'progress');
  expect(progress.length).toBeGreaterThan(0);
  for (const { deadline } of progress) expect(deadline).toMatchObject({ finishBy: Date.parse(finishBy) });
  expect(events.at(-1)).toMatchObject({ type: 'result', spent: { byCause: { deadline: expect.any(Number) } } });
});

test.each([['soon'], ['25:00'], ['2020-01-01T06:00'], [''], ['-1']])('--finish-by %j is refused', async (time) => {
  const { folder } = await workFolder(10);
  const { exitCode, err } = await blockferry(folder, 'copy', `--finish-by=${time}`, 'disk.img', 'copy.img').ended;
  expect(exitCode).toBe(2);
  expect(err).toMatch(/as a time to be done by|which is over/);
});

test('a folder with a deadline is refused, and how else it can be had is said', async () => {
  const { folder } = await workFolder(10);
  const { exitCode, err } = await blockferry(folder, 'copy', '-r', '--finish-by', '06:00', '.', 'copy').ended;
  expect(exitCode).toBe(2);
  expect(err).toContain('--finish-by is for the copy of a single file');
  expect(err).toContain('--background');
});

test('a job gets a deadline, another and none, and why shows it and where the time went', async () => {
  const control = await startTestControl();
  onTestFinished(() => control.stop());
  const run = async (...args: readonly string[]): Promise<string> => {
    const env = ['env', `BLOCKFERRY_STATE=${control.folder}`, 'TZ=Europe/Berlin'];
    const { exitCode, out, err } = await start(control.folder, [...env, process.execPath, MAIN, ...args]).ended;
    expect([exitCode, exitCode === 0 ? '' : err]).toEqual([0, '']);
    return out;
  };
  const id = (await run('job', 'create', '--finish-by', '2040-01-31T06:00', '/vms/a.vhdx', '/backup/')).trim();
  const finishBy = () => control.service.get(id, ROOT).finishBy;
  // The clock on the wall of whoever said it.
  expect(finishBy()).toBe('2040-01-31T05:00:00.000Z');
  const background = ['copy', '--background', '--finish-by', '2040-01-31T06:00', '/vms/b.vhdx', '/backup/'];
  expect(control.service.get((await run(...background)).trim(), ROOT).finishBy).toBe('2040-01-31T05:00:00.000Z');
  await run('job', 'set', id, '--finish-by', '2041-01-31T06:00Z');
  expect(finishBy()).toBe('2041-01-31T06:00:00.000Z');
  const deadline = { finishBy: Date.UTC(2041, 0, 31, 6), lateByMs: 1_200_000 };
  control.service.explain(id, { sentence: 'it waits', deadline, time: sampleTime(Date.now(), 3_600_000) });
  const why = await run('job', 'why', id);
  expect(why.replaceAll('\n', ' ')).toContain(
    'to be done by 2041-01-31 06:00:00Z, and will be late by about 20 min 00 s',
  );
  expect(why).toMatch(
    /where the time went, 1 h 00 min since it was made:\n {2}the limit of a window +14 min 24 s +24 % {2}#+/,
  );
  expect(JSON.parse(await run('job', 'why', id, '--json'))).toMatchObject({ deadline, time: { total: {} } });
  await run('job', 'set', id, '--no-finish-by');
  expect(finishBy()).toBeFalsy();
});
