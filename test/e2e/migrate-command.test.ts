/** `blockferry migrate` through the real command line, before a service whose migrations move nothing. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import type { MigrationTold } from '../../src/migrate/migration-service.js';
import { signReceipt } from '../../src/migrate/receipt.js';
import type { Receipt } from '../../src/migrate/receipt-form.js';
import { receiptKey } from '../../src/migrate/receipt-key.js';
import { STEPS, type Step } from '../../src/migrate/steps.js';
import { LOOPBACK, startTestControl, type TestControl } from '../support/control.js';
import { FAKE_MIGRATION, FAKE_VM, FakeMigrations, fakeView } from '../support/fake-migrations.js';
import { type Ended, MAIN, start } from './command.js';

let control: TestControl;
let migrations: FakeMigrations;
beforeEach(async () => {
  migrations = new FakeMigrations();
  control = await startTestControl({ migrations, http: LOOPBACK });
  onTestFinished(() => control.stop());
});

function run(...args: readonly string[]): Promise<Ended> {
  const state = `BLOCKFERRY_STATE=${control.folder}`;
  return start(control.folder, ['env', state, process.execPath, MAIN, ...args]).ended;
}

async function objects(...args: readonly string[]): Promise<Record<string, unknown>[]> {
  const { exitCode, out, err } = await run(...args, '--json');
  expect([exitCode, err]).toEqual([0, '']);
  const lines = out.split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}

function told(id: number, step: Step, more: object = {}): MigrationTold {
  const number = STEPS.indexOf(step) + 1;
  const about = { number, steps: STEPS.length, source: 'local:web', target: 'local:/fast', reason: `about ${step}` };
  return {
    ...{ id, migration: FAKE_MIGRATION },
    event: { schema: 1, at: id, type: 'step', step, state: 'started', ...about, ...more },
  };
}

function receipt(): Receipt {
  const step = { step: 'check', startedAt: 1000, doneAt: 3000 } as const;
  return signReceipt(
    {
      ...{ schema: 1, kind: 'blockferry-migration', migration: FAKE_MIGRATION, vm: { id: FAKE_VM, name: 'web' } },
      ...{ from: 'local', to: 'local', steps: [step], files: [], keepSource: false },
      blackout: { predictedMs: 1400, measuredMs: 1250 },
    },
    receiptKey(join(control.folder, 'key')),
  );
}

test('a plan tells sizes, steps and the predicted blackout, and asks for nothing else', async () => {
  const { exitCode, out } = await run('migrate', 'plan', FAKE_VM, '--to', 'fast', '--max-blackout', '2s');
  expect(exitCode).toBe(0);
  expect(out).toContain('1 image, 4.00 GiB, and about 144 MiB of memory');
  for (const step of STEPS) expect(out).toContain(step);
  expect(out).toContain('the guest stands still: 1.4 s, as predicted now; at most 2.0 s');
  expect(out).toContain('nothing was changed');
  for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  expect(migrations.asked).toEqual([
    { vm: FAKE_VM, paths: { folder: join(control.folder, 'fast') }, maxBlackoutMs: 2000 },
  ]);
});

test('a plan that cannot be carried out says why, and ends with exit code 2', async () => {
  migrations.problems = ['This host has no KVM.'];
  const { exitCode, out } = await run('migrate', 'plan', FAKE_VM, '--to', '/fast');
  expect(exitCode).toBe(2);
  expect(out).toContain('in the way: This host has no KVM.');
});

test('what is said of a migration is what is asked for, and its id is all that the output holds', async () => {
  const options = ['--disk', 'd0=fast', '--to', '/vms', '--keep-source', '--prepare', '--max-blackout', '0.5s'];
  const { exitCode, out, err } = await run('migrate', 'start', FAKE_VM, ...options);
  expect([exitCode, out]).toEqual([0, `${FAKE_MIGRATION}\n`]);
  expect(err).toContain('blockferry migrate watch 3f2a91c0');
  const paths = { folder: '/vms', disks: { d0: join(control.folder, 'fast') } };
  expect(migrations.asked).toEqual([{ prepare: { vm: FAKE_VM, paths, keepSource: true, maxBlackoutMs: 500 } }]);
});

test('a migration is found by the name of its machine, cut over and aborted', async () => {
  migrations.views = [
    fakeView({ id: FAKE_VM, state: 'done' }),
    fakeView({ state: 'prepared', reason: 'all is copied' }),
  ];
  expect((await run('migrate', 'status', 'web')).out).toContain('blockferry migrate cutover 3f2a91c0');
  expect((await run('migrate', 'cutover', 'web', '--anyway', '--max-blackout', '5s')).exitCode).toBe(0);
  expect((await run('migrate', 'abort', '3f2a')).out).toBe('3f2a91c0 web: aborted: as asked\n');
  expect(migrations.asked).toEqual([
    { cutover: FAKE_MIGRATION, anyway: true, maxBlackoutMs: 5000 },
    { abort: FAKE_MIGRATION },
  ]);
});

test('only what is not over is listed, and all with --all', async () => {
  migrations.views = [fakeView({ id: FAKE_VM, state: 'done', reason: '' }), fakeView()];
  expect((await run('migrate', 'status')).out).toBe('3f2a91c0 web: running: copy-bases\n');
  expect((await objects('migrate', 'status', '--all')).map(({ type, state }) => [type, state])).toEqual([
    ['migration', 'done'],
    ['migration', 'running'],
  ]);
});

test('whoever watches hears each step, and leaves when nothing more happens by itself', async () => {
  migrations.told = [told(1, 'check'), told(2, 'save-state'), told(3, 'resume', { state: 'done', blackoutMs: 1250 })];
  migrations.views = [
    fakeView({ state: 'done', reason: 'web is at the target', blackoutMs: 1250, switchedOver: true }),
  ];
  const { exitCode, out, err } = await run('migrate', 'watch', 'web');
  expect(exitCode).toBe(0);
  expect(err.split('\n').slice(0, 3)).toEqual([
    ' 1/14 check: about check',
    ' 6/14 save-state: about save-state',
    '      the guest stood still for 1.3 s',
  ]);
  expect(out).toContain('the machine belongs to the target');
  const events = await objects('migrate', 'watch', 'web');
  expect(events.map(({ type }) => type)).toEqual(['step', 'step', 'step', 'result']);
});

test('a watch ends with the exit code of the error, and with 130 after an abort', async () => {
  const error = { code: 'E_NO_SPACE', message: '/fast is full', hint: 'Make room.' } as const;
  migrations.views = [fakeView({ state: 'failed', reason: error.message, error })];
  const failed = await run('migrate', 'watch', 'web');
  expect([failed.exitCode, failed.err]).toEqual([3, expect.stringContaining('/fast is full')]);
  expect(failed.out).toContain('Try again with: blockferry migrate cutover 3f2a91c0');
  expect(failed.out).toContain('Give it up with: blockferry migrate abort 3f2a91c0');
  migrations.views = [fakeView({ state: 'aborted', reason: 'as asked' })];
  expect((await run('migrate', 'watch', 'web')).exitCode).toBe(130);
});

test('a receipt is printed, and checked by anybody', async () => {
  migrations.views = [fakeView({ state: 'done' })];
  const early = await run('migrate', 'receipt', 'web');
  expect([early.exitCode, early.err]).toEqual([2, expect.stringContaining('there is no receipt')]);
  migrations.receipts = [receipt()];
  const printed = await run('migrate', 'receipt', 'web');
  const path = join(control.folder, 'receipt.json');
  writeFileSync(path, printed.out);
  const checked = await run('verify', '--receipt', path);
  const { fingerprint } = receipt().signature;
  expect([checked.exitCode, checked.out]).toEqual([0, expect.stringContaining(`key sha256:${fingerprint}`)]);
  expect(checked.out).toContain('the guest stood still for 1.3 s; 1.4 s were predicted');
  expect((await run('verify', '--receipt', path, '--signed-by', `sha256:${fingerprint}`)).exitCode).toBe(0);
  const other = await run('verify', '--receipt', path, '--signed-by', 'a'.repeat(64));
  expect([other.exitCode, other.err]).toEqual([4, expect.stringContaining('is signed with the key')]);
  writeFileSync(path, printed.out.replace('"measuredMs": 1250', '"measuredMs": 125'));
  const changed = await run('verify', '--receipt', path);
  expect([changed.exitCode, changed.err]).toEqual([4, expect.stringContaining('was changed after it was signed')]);
  writeFileSync(path, generateKeyPairSync('ed25519').publicKey.export({ format: 'pem', type: 'spki' }));
  expect((await run('verify', '--receipt', path)).err).toContain('is no receipt');
});

test('only administrators move machines', async () => {
  const token = join(control.folder, 'token');
  writeFileSync(token, await control.token('robot', 'jobs'));
  const { exitCode, err } = await run('migrate', 'status', '--service', control.url, '--token-file', token);
  expect([exitCode, err]).toEqual([2, expect.stringContaining('robot may not move machines')]);
});

test.each<readonly [readonly string[], string]>([
  [['migrate', 'plan', FAKE_VM], 'nothing says where the files go'],
  [['migrate', 'plan', 'nobody', '--to', '/fast'], 'there is no machine "nobody"'],
  [['migrate', 'start', FAKE_VM, '--to', '/fast', '--max-blackout', '2'], '--max-blackout: cannot use "2"'],
  [['migrate', 'abort', 'nobody'], 'there is no migration "nobody"'],
  [['verify', '--receipt', 'r', 'disk.img'], 'a receipt is checked by itself'],
])('%s is refused with exit code 2', async (args, message) => {
  const { exitCode, err } = await run(...args);
  expect([exitCode, err]).toEqual([2, expect.stringContaining(message)]);
  expect(migrations.asked).toEqual([]);
});
