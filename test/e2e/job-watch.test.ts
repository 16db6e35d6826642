import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { JobView } from '../../src/service/job-service.js';
import { startTestControl, type TestControl } from '../support/control.js';
import { needsCommands, openPane } from '../support/pane.js';
import { sampleMap } from '../support/scripted-run.js';
import { blockferry, type Command, eventsOf, MAIN } from './command.js';

const ROOT = { name: 'root', admin: true };
const at = { timeout: 30_000, interval: 20 };

async function withJob(files = 1): Promise<{ control: TestControl; id: string }> {
  const control = await startTestControl();
  onTestFinished(() => control.stop());
  const list = Array.from({ length: files }, (_, n) => ({ source: `/vms/${n}.vhdx`, target: `/backup/${n}.vhdx` }));
  const { id } = await control.service.create({ name: 'nightly', files: list }, ROOT);
  return { control, id };
}

/** The command, once it listens. */
async function watching({ service, folder }: TestControl, ...args: readonly string[]): Promise<Command> {
  const before = service.told.listeners;
  const watch = blockferry(folder, 'job', 'watch', ...args, '--state', folder);
  await expect.poll(() => service.told.listeners, at).toBeGreaterThan(before);
  return watch;
}

test('a job is followed to its end: what it waits for is told once, and then how it ended', async () => {
  const { control, id } = await withJob();
  const { service } = control;
  const watch = await watching(control, 'nightly');
  for (let turn = 0; turn < 3; turn++) {
    service.move(id, 'queued', { reason: 'its turn is over' });
    service.move(id, 'transferring', { reason: 'copying' });
  }
  service.tell(id, { type: 'note', message: 'holes are kept' });
  service.move(id, 'acknowledged', { reason: 'complete' });
  const { exitCode, out, err } = await watch.ended;
  expect(exitCode).toBe(0);
  expect(err).toBe('queued: it waits for its turn\nqueued: its turn is over\nnote: holes are kept\n');
  expect(out).toMatch(/^\/vms\/0\.vhdx is copied to \/backup\/0\.vhdx: .*\n {2}root: 0+\n$/);
});

test('a job that is transferred says how its files get their names', async () => {
  const { control, id } = await withJob(2);
  const watch = await watching(control, id);
  control.service.move(id, 'transferred');
  const { exitCode, out, err } = await watch.ended;
  expect([exitCode, out]).toEqual([0, expect.stringContaining('nightly is transferred, whole and proven: 2 files')]);
  expect(err).toContain(`blockferry job complete ${id.slice(0, 8)}`);
});

test('an error ends it with what a copy would have ended with; a transient one does not', async () => {
  const { control, id } = await withJob();
  const { service } = control;
  const watch = await watching(control, id);
  const error = { code: 'E_NO_SPACE', message: '/backup needs 1.20 GiB more', hint: 'Free some space.' } as const;
  service.move(id, 'transient-error', { reason: 'https://host: no answer; tried again at 12:05' });
  service.move(id, 'error', { reason: error.message, error });
  const { exitCode, out, err } = await watch.ended;
  expect([exitCode, out]).toEqual([3, '']);
  expect(err).toBe(
    'queued: it waits for its turn\ntransient-error: https://host: no answer; tried again at 12:05\n' +
      'blockferry: /backup needs 1.20 GiB more\n  Free some space.\n',
  );
});

test('a cancelled job ends it with 130, and one that is over already is told at once', async () => {
  const { control, id } = await withJob();
  control.service.move(id, 'cancelled', { reason: 'root cancelled it' });
  const { exitCode, out, err } = await blockferry(control.folder, 'job', 'watch', id, '--state', control.folder).ended;
  expect([exitCode, out, err]).toEqual([130, '', 'blockferry: nightly is cancelled: root cancelled it\n']);
});

test('--json gives the events of the job alone, each with its job, and the job as it ended', async () => {
  const { control, id } = await withJob();
  const { service } = control;
  const other = await service.create({ files: [{ source: '/a', target: '/b' }] }, ROOT);
  const watch = await watching(control, id, '--json');
  service.move(id, 'transferring', { reason: 'copying' });
  service.move(other.id, 'transferring');
  service.copied(id, { bytes: 16 * MiB });
  await watch.event(({ type }) => type === 'progress');
  service.move(id, 'acknowledged', { reason: 'complete' });
  const { exitCode, out, err } = await watch.ended;
  expect([exitCode, err]).toEqual([0, '']);
  const events = eventsOf(out) as unknown as (Partial<JobView> & Record<string, unknown>)[];
  expect(events.slice(0, 2)).toMatchObject([
    { schema: 1, type: 'state', job: id, state: 'transferring' },
    { schema: 1, type: 'progress', job: id, bytesDone: 16 * MiB },
  ]);
  expect(events.at(-1)).toMatchObject({ schema: 1, type: 'result', id, state: 'acknowledged' });
  expect(out).not.toContain(other.id);
});

test('a service that goes away and comes back is waited for, and its job is followed on', async () => {
  const { control, id } = await withJob();
  const watch = await watching(control, id);
  const said = new Promise<void>((resolve) => watch.child.stderr.on('data', (text) => /away/.test(text) && resolve()));
  // The socket is gone until the command has noticed.
  await control.server.close();
  await said;
  await control.restart();
  await expect.poll(() => control.service.told.listeners, at).toBe(1);
  control.service.move(id, 'acknowledged');
  const { exitCode, err } = await watch.ended;
  const around = 'the service is away; waiting for it\nthe service is there again\n';
  expect([exitCode, err]).toEqual([0, `queued: it waits for its turn\n${around}`]);
});

test('Ctrl-C ends the watching, and the job goes on', async () => {
  const { control, id } = await withJob();
  const watch = await watching(control, 'nightly');
  watch.child.kill('SIGINT');
  const { exitCode, err } = await watch.ended;
  expect([exitCode, err]).toEqual([130, expect.stringContaining('Watch it again with: blockferry job watch nightly')]);
  expect(control.service.get(id, ROOT).state).toBe('queued');
});

test('a watch whose reader is gone ends, and the job goes on', async () => {
  const { control, id } = await withJob();
  const watch = await watching(control, id, '--json');
  watch.child.stdout.destroy();
  const tell = setInterval(() => control.service.tell(id, { type: 'note', message: 'still here' }), 20);
  onTestFinished(() => clearInterval(tell));
  const { exitCode, err } = await watch.ended;
  expect([exitCode, err]).toEqual([130, expect.stringContaining('the job goes on')]);
  expect(control.service.get(id, ROOT).state).toBe('queued');
});

test('on a terminal a job has the bar and the map of a copy, and the list fits', async (context) => {
  needsCommands(context, 'tmux');
  const { control, id } = await withJob();
  const { service, folder } = control;
  service.move(id, 'transferring', { reason: 'copying' });
  service.map(id, 0, sampleMap().view(74));
  const list = `NO_COLOR=1 ${process.execPath} ${MAIN} job list --state ${folder}`;
  const pane = openPane(folder, 80, `${list}; ${list.replace('list', `watch ${id.slice(0, 8)}`)}; echo "exit=$?"`);
  await pane.until(/^job +name[\s\S]+nightly +normal +transferring/);
  await expect.poll(() => service.told.listeners, at).toBe(1);
  service.copied(id, { bytes: 16 * MiB, rateBytesPerSecond: 4 * MiB });
  await pane.until(/^ 25% \[#+\.+\] +16.0 MiB of 64.0 MiB +4.00 MiB\/s +12 s left$/m);
  await expect
    .poll(() => {
      // Each progress draws anew, with the map as it was last fetched.
      service.copied(id, { bytes: 1024 });
      return pane.lines().join('\n');
    }, at)
    .toMatch(/ {5}=+[#+>o.!=]+\n[\s\S]*= proven/);
  service.move(id, 'suspended', { reason: 'root suspended it' });
  await pane.until(/^suspended: root suspended it$/m);
  service.move(id, 'acknowledged');
  await pane.until(/is copied to[\s\S]+exit=0/);
  expect(pane.lines().join('\n')).not.toMatch(/\[#/);
});

test('the files of a job that has several are drawn side by side, under one bar', async (context) => {
  needsCommands(context, 'tmux');
  const { control, id } = await withJob(3);
  const { service, folder } = control;
  service.move(id, 'transferring', { reason: 'copying' });
  const pane = openPane(folder, 100, `NO_COLOR=1 ${process.execPath} ${MAIN} job watch ${id} --state ${folder}`);
  await expect.poll(() => service.told.listeners, at).toBe(1);
  for (const file of [0, 1, 2]) service.copied(id, { file, bytes: file * 16 * MiB, rateBytesPerSecond: 4 * MiB });
  const drawn = /\/0.vhdx +0% .*\n.*\/1.vhdx +25% .*\n.*\/2.vhdx +50% .*\n +25% \[#+\.+\] +48.0 MiB of 192 MiB +4.00/;
  // The files are looked at now and then, and drawn with the next progress.
  await expect
    .poll(() => {
      service.copied(id, { bytes: 0 });
      return pane.lines().join('\n');
    }, at)
    .toMatch(drawn);
  service.move(id, 'transferred');
  await pane.until(/is transferred, whole and proven: 3 files/);
});
