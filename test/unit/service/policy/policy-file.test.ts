import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemClock } from '../../../../src/core/clock.js';
import type { TransferError } from '../../../../src/core/errors.js';
import { DEFAULT_POLICY, defaultPolicyText } from '../../../../src/service/policy/default-policy.js';
import type { Policy } from '../../../../src/service/policy/policy.js';
import { PolicyFile } from '../../../../src/service/policy/policy-file.js';
import { FakeClock } from '../../../support/fake-clock.js';

let folder: string;
let path: string;
let file: PolicyFile | undefined;
let errors: TransferError[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-policy-'));
  path = join(folder, 'blockferry.toml');
  errors = [];
});
afterEach(() => {
  file?.close();
  file = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function open(clock = systemClock): Promise<PolicyFile> {
  file = await PolicyFile.open({ folder, clock, onError: (error) => errors.push(error) });
  return file;
}

const WAIT = { timeout: 30_000, interval: 10 };
const jobs = (opened: PolicyFile, count: number) =>
  vi.waitFor(() => expect(opened.policy.jobsAtOnce).toBe(count), WAIT);

test('the first start makes the file from the default, for its owner alone', async () => {
  const opened = await open();
  expect(readFileSync(path, 'utf8')).toBe(defaultPolicyText());
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(opened.policy).toEqual(DEFAULT_POLICY);
  expect(opened.text).toBe(defaultPolicyText());
});

test('what somebody wrote before is what holds', async () => {
  writeFileSync(path, 'jobs_at_once = 3\n');
  expect((await open()).policy.jobsAtOnce).toBe(3);
  expect(readFileSync(path, 'utf8')).toBe('jobs_at_once = 3\n');
});

test('the service does not start with a file that it cannot read, and says where it is wrong', async () => {
  writeFileSync(path, 'jobs_at_once = 3\nslice = 4');
  await expect(open()).rejects.toMatchObject({ code: 'E_POLICY', message: `${path}:2:9: slice is 4` });
  writeFileSync(path, Buffer.from([0xff, 0xfe, 0x00]));
  await expect(open()).rejects.toMatchObject({ code: 'E_POLICY' });
  rmSync(path);
  mkdirSync(path);
  await expect(open()).rejects.toMatchObject({ code: 'E_POLICY', message: expect.stringContaining('no regular file') });
});

test('a file that is edited counts at once, and everybody who listens hears it', async () => {
  const opened = await open();
  const heard: Policy[] = [];
  const stop = opened.onChange((policy) => heard.push(policy));
  writeFileSync(path, 'jobs_at_once = 3');
  await jobs(opened, 3);
  expect(heard).toEqual([opened.policy]);
  expect(opened.text).toBe('jobs_at_once = 3');
  stop();
  writeFileSync(`${path}~`, 'jobs_at_once = 5');
  renameSync(`${path}~`, path);
  await jobs(opened, 5);
  expect(heard).toHaveLength(1);
  expect(errors).toEqual([]);
});

test('a wrong file is told once, the policy before stays, and the next right one counts', async () => {
  const opened = await open();
  writeFileSync(path, 'jobs_at_once = "many"');
  await vi.waitFor(() => expect(errors).toHaveLength(1), WAIT);
  expect(errors[0]).toMatchObject({
    code: 'E_POLICY',
    message: `${path}:1:16: jobs_at_once is "many"`,
    hint: 'Expected a whole number from 1 to 1000. Until then the policy before stays in force.',
  });
  expect(opened.policy).toEqual(DEFAULT_POLICY);
  writeFileSync(path, 'jobs_at_once = 4');
  await jobs(opened, 4);
  expect(errors).toHaveLength(1);
});

test('a file that is taken away changes nothing, and is told', async () => {
  const opened = await open();
  rmSync(path);
  await vi.waitFor(() => expect(errors).toHaveLength(1), WAIT);
  expect(errors[0]).toMatchObject({ code: 'E_POLICY', message: expect.stringContaining('is gone') });
  expect(opened.policy).toEqual(DEFAULT_POLICY);
  writeFileSync(path, 'jobs_at_once = 6');
  await jobs(opened, 6);
});

test('where nothing tells of changes, a look by the clock finds them', async () => {
  const clock = new FakeClock();
  const elsewhere = mkdtempSync(join(tmpdir(), 'blockferry-policy-'));
  try {
    // The folder that is watched only holds a link.
    const real = join(elsewhere, 'real.toml');
    writeFileSync(real, 'jobs_at_once = 3');
    symlinkSync(real, path);
    const opened = await open(clock);
    writeFileSync(real, 'jobs_at_once = 7');
    await vi.waitFor(() => {
      clock.advance(2000);
      expect(opened.policy.jobsAtOnce).toBe(7);
    }, WAIT);
  } finally {
    rmSync(elsewhere, { recursive: true });
  }
});

test('a policy that is set is written as a whole and told once; a wrong one changes nothing', async () => {
  const clock = new FakeClock();
  const opened = await open(clock);
  const heard: Policy[] = [];
  opened.onChange((policy) => heard.push(policy));
  await expect(opened.replace('jobs_at_once = 0')).rejects.toMatchObject({
    code: 'E_POLICY',
    message: 'blockferry.toml:1:16: jobs_at_once is 0',
  });
  expect(readFileSync(path, 'utf8')).toBe(defaultPolicyText());
  expect(opened.policy).toEqual(DEFAULT_POLICY);
  expect((await opened.replace('jobs_at_once = 9')).jobsAtOnce).toBe(9);
  expect(readFileSync(path, 'utf8')).toBe('jobs_at_once = 9');
  expect(readdirSync(folder)).toEqual(['blockferry.toml']);
  for (let looks = 0; looks < 5; looks++) {
    clock.advance(2000);
    await new Promise(setImmediate);
  }
  expect(heard).toHaveLength(1);
});

test('a policy behind a link is written where the link leads', async () => {
  const real = join(folder, 'real.toml');
  writeFileSync(real, '');
  symlinkSync(real, path);
  const opened = await open();
  await opened.replace('jobs_at_once = 9');
  expect(readFileSync(real, 'utf8')).toBe('jobs_at_once = 9');
  expect(readdirSync(folder).sort()).toEqual(['blockferry.toml', 'real.toml']);
});

test('a folder that is gone keeps a policy from being set, and the old one stays', async () => {
  const opened = await open();
  rmSync(folder, { recursive: true });
  await expect(opened.replace('jobs_at_once = 9')).rejects.toMatchObject({ code: 'E_STORE' });
  expect(opened.policy).toEqual(DEFAULT_POLICY);
});
