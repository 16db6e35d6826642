import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { openLog, withoutSecrets } from '../../../src/daemon/control/log.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'control-log-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the log is turned over when it is full, and so many old ones are kept', async () => {
  const log = openLog(folder, { fileBytesMax: 2000, filesMax: 2 });
  for (let line = 0; line < 100; line++) {
    log.logger.info({ line }, 'x'.repeat(100));
    await systemClock.sleep(0);
  }
  log.close();
  const last = join(folder, 'blockferry.log');
  while (!readFileSync(last, 'utf8').includes('"line":99')) await systemClock.sleep(5);
  expect(readdirSync(folder).sort()).toEqual(['blockferry.log', 'blockferry.log.1', 'blockferry.log.2']);
  for (const name of readdirSync(folder)) {
    const { mode, size } = statSync(join(folder, name));
    expect([mode & 0o777, size <= 2000]).toEqual([0o600, true]);
  }
});

test('a log that is opened again goes on', async () => {
  for (const line of [1, 2]) {
    const log = openLog(folder);
    log.logger.info({ line }, 'here');
    log.close();
  }
  const path = join(folder, 'blockferry.log');
  while (readFileSync(path, 'utf8').split('\n').length < 3) await systemClock.sleep(5);
  expect(readFileSync(path, 'utf8')).toMatch(/"line":1,.*\n.*"line":2,/);
});

test('fields that hold secrets are not written, however deep they lie', async () => {
  const log = openLog(folder);
  const secrets = { authorization: 'Bearer hidden1', cookie: 'hidden2', token: 'hidden3', secret: 'hidden4' };
  log.logger.info({ ...secrets, headers: secrets, request: { headers: secrets } }, 'asked');
  log.close();
  const path = join(folder, 'blockferry.log');
  while (!readFileSync(path, 'utf8').includes('asked')) await systemClock.sleep(5);
  expect(readFileSync(path, 'utf8')).not.toContain('hidden');
});

test.each([
  ['https://anna:pass@host/x', 'https://host/x'],
  ['see s3://key:secret@bucket/x?a=b&c=d, and go', 's3://bucket/x?…'],
  [`token bft_${'a'.repeat(43)} is known`, 'token … is known'],
  [`lent bfd_${'b'.repeat(43)}`, 'lent …'],
  ['a path /a/b@c/d stays', '/a/b@c/d'],
])('of %s the log has %s', (line, shown) => {
  expect(withoutSecrets(line)).toContain(shown);
});
