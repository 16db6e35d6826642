import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { JobView } from '../../src/service/job-service.js';
import { LOOPBACK, startTestControl, type TestControl, type TestControlOptions } from '../support/control.js';
import { type Command, type Ended, MAIN, start } from './command.js';

const ROOT = { name: 'root', admin: true };
const DISK = ['/vms/disk.vhdx', '/backup/disk.vhdx'] as const;

async function service(options?: TestControlOptions): Promise<TestControl> {
  const control = await startTestControl(options);
  onTestFinished(() => control.stop());
  return control;
}

/** The command, with an environment of its own: what is said by it, and nothing of this process. */
function command(folder: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): Command {
  const given = Object.entries({ BLOCKFERRY_STATE: folder, ...env }).map(([name, value]) => `${name}=${value}`);
  return start(folder, ['env', ...given, process.execPath, MAIN, ...args]);
}

function run({ folder }: TestControl, ...args: readonly string[]): Promise<Ended> {
  return command(folder, {}, ...args).ended;
}

/** What `--json` has printed, a line each. */
async function objects(control: TestControl, ...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { exitCode, out, err } = await run(control, ...args, '--json');
  expect([exitCode, err]).toEqual([0, '']);
  const lines = out.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line));
}

function job({ service }: TestControl, name = 'nightly', suspended = false): Promise<JobView> {
  const [source, target] = DISK;
  return service.create({ name, suspended, files: [{ source, target }] }, ROOT);
}

test('a job is made with what was said of it, and its id is all that the output holds', async () => {
  const control = await service();
  const options = ['--name', 'nightly', '--priority', 'low', '--limit', '50MiB', '--auto-complete', '--suspended'];
  const waits = ['--retry-delay', '30s', '--retry-delay-max', '1h', '--no-progress', '3d', '--max-time', '0'];
  const notify = ['--notify', '/usr/bin/logger', '--notify', '-t', '--notify', 'two words'];
  const copying = ['--overwrite', '--read-back', '--no-sync', '--chunk-size', '4MiB', '--algorithm', 'sha256'];
  const all = [...options, ...waits, ...notify, ...copying];
  const { exitCode, out, err } = await run(control, 'job', 'create', ...all, ...DISK, 'b.vhd', 's3://bucket/b.vhd');
  expect(exitCode).toBe(0);
  const id = out.trim();
  expect(out).toMatch(/^[0-9a-f-]{36}\n$/);
  expect(err).toContain(`blockferry job watch ${id.slice(0, 8)}`);
  const made = control.service.get(id, ROOT);
  expect(made).toMatchObject({
    ...{ name: 'nightly', priority: 'low', state: 'suspended', autoComplete: true, limitBytesPerSecond: 50 * MiB },
    ...{ retryDelayMsMin: 30_000, retryDelayMsMax: 3_600_000, noProgressMsMax: 259_200_000, transferMsMax: 0 },
    notify: ['/usr/bin/logger', '-t', 'two words'],
  });
  const relative = { source: join(control.folder, 'b.vhd'), target: 's3://bucket/b.vhd' };
  expect(made.files).toMatchObject([{ source: DISK[0], target: DISK[1] }, relative]);
});

test('only what was said is sent, and a folder stays one when its path is made absolute', async () => {
  const control = await service();
  const [made] = await objects(control, 'job', 'create', 'vms/disk.vhdx', 'backup/');
  expect(made).toMatchObject({ schema: 1, type: 'job', state: 'queued', autoComplete: false, priority: 'normal' });
  expect(control.service.get(String(made?.id), ROOT).files).toMatchObject([
    { source: join(control.folder, 'vms/disk.vhdx'), target: `${join(control.folder, 'backup')}/` },
  ]);
});

test('the secret of a webhook comes from a file, and is in no output', async () => {
  const control = await service();
  writeFileSync(join(control.folder, 'secret'), 'a-secret-of-ours\n');
  const hook = ['--webhook', 'https://host/hook', '--webhook-secret-file', 'secret'];
  const [made] = await objects(control, 'job', 'create', ...hook, ...DISK);
  expect(made).toMatchObject({ webhookUrl: 'https://host/hook' });
  expect(JSON.stringify(made)).not.toContain('a-secret-of-ours');
});

test('jobs are listed with what they wait for, and finished ones with --all', async () => {
  const control = await service();
  const [one, two] = [await job(control), await job(control, 'later')];
  control.service.move(one.id, 'transferring', { reason: 'copying' });
  control.service.copied(one.id, { bytes: 16 * MiB, rateBytesPerSecond: 4 * MiB });
  control.service.move(two.id, 'acknowledged', { reason: '' });
  const { exitCode, out, err } = await run(control, 'job', 'list');
  expect([exitCode, err]).toEqual([0, '']);
  const line = new RegExp(
    `^${one.id.slice(0, 8)} {2}nightly {2}normal +transferring +25% +4.00 MiB/s {2}12 s +copying$`,
    'm',
  );
  expect(out).toMatch(line);
  expect(out).not.toContain('later');
  const all = await objects(control, 'job', 'list', '--all');
  expect(all).toMatchObject([
    { schema: 1, type: 'job', id: one.id },
    { id: two.id, state: 'acknowledged' },
  ]);
  expect(await objects(control, 'job', 'list', '--only', 'acknowledged,error')).toMatchObject([{ id: two.id }]);
  const none = await run(control, 'job', 'list', '--only', 'error');
  expect(none).toMatchObject({ exitCode: 0, out: '', err: expect.stringContaining('no such job') });
});

test('a job is meant by its id, by the beginning of it, or by its name', async () => {
  const control = await service();
  const [one, two] = [await job(control, 'nightly'), await job(control, 'later')];
  control.service.move((await job(control, 'nightly')).id, 'acknowledged');
  for (const given of [one.id, one.id.slice(0, 8).toUpperCase(), 'nightly']) {
    expect(await objects(control, 'job', 'info', given)).toMatchObject([{ id: one.id, files: [{ source: DISK[0] }] }]);
  }
  const short = await run(control, 'job', 'info', one.id.slice(0, 3));
  expect(short).toMatchObject({ exitCode: 2, err: expect.stringContaining('there is no job') });
  await job(control, 'later');
  const several = await run(control, 'job', 'cancel', 'later');
  expect(several).toMatchObject({
    exitCode: 2,
    err: expect.stringMatching(/could be any of 2 jobs[\s\S]+later: queued/),
  });
  expect(control.service.get(two.id, ROOT).state).toBe('queued');
});

test('jobs are suspended, resumed, cancelled and completed, several at once', async () => {
  const control = await service();
  const ids = [await job(control, 'one'), await job(control, 'two')].map(({ id }) => id);
  const state = (): string[] => ids.map((id) => control.service.get(id, ROOT).state);
  const suspended = await run(control, 'job', 'suspend', 'one', 'two');
  expect(suspended.out).toMatch(/^[0-9a-f]{8} one: suspended: .*\n[0-9a-f]{8} two: suspended: .*\n$/);
  expect(state()).toEqual(['suspended', 'suspended']);
  expect((await run(control, 'job', 'resume', ...ids)).exitCode).toBe(0);
  expect(state()).toEqual(['queued', 'queued']);
  control.service.move(ids[0] ?? '', 'transferred');
  expect((await run(control, 'job', 'complete', 'one')).out).toMatch(/one: acknowledged: .*; 1 file under its name\n$/);
  const kept = await run(control, 'job', 'cancel', 'two', '--keep-partial');
  expect(kept.out).toContain('what was copied is kept');
  expect(state()).toEqual(['acknowledged', 'cancelled']);
});

test('what cannot be done to a job says what can, and the others are moved all the same', async () => {
  const control = await service();
  const [one, two] = [await job(control, 'one'), await job(control, 'two')];
  control.service.move(one.id, 'cancelled');
  const { exitCode, out, err } = await run(control, 'job', 'suspend', one.id, 'two');
  expect(exitCode).toBe(2);
  expect(out).toContain('two: suspended');
  expect(err).toContain('a job that is cancelled takes no suspend');
  expect(control.service.get(two.id, ROOT).state).toBe('suspended');
  const unknown = await run(control, 'job', 'resume', 'two', 'nobody');
  expect(unknown).toMatchObject({ exitCode: 2, err: expect.stringContaining('there is no job "nobody"') });
  expect(control.service.get(two.id, ROOT).state).toBe('suspended');
});

test('a job is changed, gets more files, and its sources another beginning', async () => {
  const control = await service();
  const { id } = await job(control);
  const set = ['--priority', 'high', '--limit', '0', '--auto-complete', '--notify', '/bin/true'];
  expect(await objects(control, 'job', 'set', 'nightly', ...set)).toMatchObject([
    { id, priority: 'high', limitBytesPerSecond: 0, autoComplete: true, notify: ['/bin/true'] },
  ]);
  const back = await objects(control, 'job', 'set', 'nightly', '--no-auto-complete', '--no-notify', '--no-webhook');
  expect(back).toMatchObject([{ priority: 'high', autoComplete: false, notify: [] }]);
  const added = await run(control, 'job', 'add', id, '/vms/b', '/backup/b', 'c', 'https://host/c');
  expect(added).toMatchObject({ exitCode: 0, out: expect.stringContaining('; 3 files now') });
  expect((await run(control, 'job', 'replace-prefix', id, '/vms/', '/mnt/')).out).toBe('2 sources changed\n');
  expect((await run(control, 'job', 'replace-prefix', id, 'https://old/', 'https://new/')).out).toContain('no source');
  const sources = control.service.get(id, ROOT).files.map(({ source }) => source);
  expect(sources).toEqual(['/mnt/disk.vhdx', '/mnt/b', join(control.folder, 'c')]);
});

test('why a job waits is a paragraph, and the same as one object', async () => {
  const control = await service();
  const { id } = await job(control);
  const hint = 'Foreground jobs do not wait: blockferry job set nightly --priority foreground';
  control.service.explain(id, { rule: 'jobs-at-once', sentence: 'all four places are taken', hint });
  const { out } = await run(control, 'job', 'why', 'nightly');
  expect(out.replaceAll('\n', ' ').trim()).toBe(`nightly is queued: all four places are taken. ${hint}.`);
  expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(await objects(control, 'job', 'why', id)).toMatchObject([{ type: 'why', job: id, rule: 'jobs-at-once' }]);
});

test('the policy is shown and set, and one that cannot be read is refused with line and column', async () => {
  const control = await service();
  const before = await run(control, 'policy', 'show');
  expect(before).toMatchObject({ exitCode: 0, out: control.service.policyText });
  writeFileSync(join(control.folder, 'policy.toml'), 'jobs-at-once = 7\n');
  expect((await run(control, 'policy', 'set', 'policy.toml')).exitCode).toBe(0);
  const shown = { schema: 1, type: 'policy', policy: { jobsAtOnce: 7 }, text: 'jobs-at-once = 7\n' };
  expect(await objects(control, 'policy', 'show')).toMatchObject([shown]);
  writeFileSync(join(control.folder, 'policy.toml'), 'jobs-at-once = \n');
  const refused = await run(control, 'policy', 'set', 'policy.toml');
  expect(refused).toMatchObject({ exitCode: 2, err: expect.stringMatching(/line 1, column \d+/) });
  expect(control.service.policyText).toBe('jobs-at-once = 7\n');
  writeFileSync(join(control.folder, 'policy.toml'), '# hours\u202e\n[rates]\n\tall = 0\n');
  const copied = `"$0" "$1" policy set policy.toml && "$0" "$1" policy show > shown.toml && cmp policy.toml shown.toml`;
  const same = start(control.folder, [
    'env',
    `BLOCKFERRY_STATE=${control.folder}`,
    'bash',
    '-c',
    copied,
    process.execPath,
    MAIN,
  ]);
  expect(await same.ended).toMatchObject({ exitCode: 0, err: '' });
  const piped = `printf 'jobs-at-once = 9' | "$0" "$1" policy set - --state "$2"`;
  await start(control.folder, ['bash', '-c', piped, process.execPath, MAIN, control.folder]).ended;
  expect(control.service.policyText).toBe('jobs-at-once = 9');
});

test('a copy in the background is a job that completes by itself', async () => {
  const control = await service();
  const flags = ['--background', '--limit', '5MiB', '--overwrite', '--no-check'];
  const { exitCode, out } = await run(control, 'copy', ...flags, 'disk.img', '/backup/');
  expect(exitCode).toBe(0);
  const made = control.service.get(out.trim(), ROOT);
  expect(made).toMatchObject({ autoComplete: true, limitBytesPerSecond: 5 * MiB });
  expect(made.files).toMatchObject([{ source: join(control.folder, 'disk.img'), target: '/backup/' }]);
  const several = await run(control, 'copy', '--background', '--quiet', 'a', 'b', '/backup');
  expect(several.err).toBe('');
  expect(control.service.get(several.out.trim(), ROOT).files).toMatchObject([
    { source: join(control.folder, 'a'), target: '/backup/' },
    { source: join(control.folder, 'b'), target: '/backup/' },
  ]);
});

test('a copy in the background refuses what a job cannot carry, by name', async () => {
  const control = await service();
  const flags = ['-r', '--to', 'vhdx', '--header', '@secret', '--no-resume-ok'];
  const { exitCode, err } = await run(control, 'copy', '--background', ...flags, 'a', 'b');
  const named = 'cannot have --recursive, --to, --header, --no-resume-ok\n';
  expect([exitCode, err]).toEqual([2, expect.stringContaining(named)]);
  expect(control.service.list(ROOT, { all: true })).toEqual([]);
});

test('a service at an address takes a token from a file or from the environment', async () => {
  const control = await service({ http: LOOPBACK });
  const token = await control.token('laptop', 'jobs');
  writeFileSync(join(control.folder, 'token'), `${token}\n`);
  await job(control, 'not hers');
  const made = await command(
    control.folder,
    { BLOCKFERRY_TOKEN: token, BLOCKFERRY_SERVICE: control.url },
    'job',
    'create',
    ...DISK,
  ).ended;
  expect(made.exitCode).toBe(0);
  const by = ['--service', control.url, '--token-file', 'token'];
  expect(await objects(control, 'job', 'list', ...by)).toMatchObject([{ id: made.out.trim(), owner: 'laptop' }]);
  const notify = await run(control, 'job', 'create', ...by, '--notify', '/bin/true', ...DISK);
  expect(notify).toMatchObject({ exitCode: 2, err: expect.stringContaining('administrators') });
  const wrong = await command(control.folder, { BLOCKFERRY_TOKEN: 'wrong' }, 'job', 'list', '--service', control.url)
    .ended;
  expect(wrong).toMatchObject({ exitCode: 3, out: '', err: expect.stringContaining('a token is needed') });
  for (const { out, err } of [made, notify, wrong]) expect(out + err).not.toContain(token);
});

test('without a service the error says how to start one', async () => {
  const control = await service();
  const empty = join(control.folder, 'empty');
  mkdirSync(empty);
  const { exitCode, err } = await run(control, 'job', 'list', '--state', empty);
  expect([exitCode, err]).toEqual([3, expect.stringMatching(/no Blockferry service listens[\s\S]+blockferry serve/)]);
});
