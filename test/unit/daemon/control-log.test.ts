import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openLog, withoutSecrets } from '../../../src/daemon/control/log.js';
import { LogFile } from '../../../src/daemon/control/log-file.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'control-log-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('the log is turned over when it is full, and so many old ones are kept', async () => {
  const log = openLog(folder, { fileBytesMax: 2000, filesMax: 2 });
  for (let line = 0; line < 100; line++) log.logger.info({ line }, 'x'.repeat(100));
  await log.close();
  expect(readdirSync(folder).sort()).toEqual(['blockferry.log', 'blockferry.log.1', 'blockferry.log.2']);
  for (const name of readdirSync(folder)) {
    const { mode, size } = statSync(join(folder, name));
    expect([mode & 0o777, size <= 2000]).toEqual([0o600, true]);
  }
  const kept = ['.2', '.1', ''].map((end) => readFileSync(join(folder, `blockferry.log${end}`), 'utf8')).join('');
  const numbers = kept
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).line);
  expect(numbers).toEqual(Array.from(numbers, (_, at) => 100 - numbers.length + at));
});

test('a log that is opened again goes on', async () => {
  for (const line of [1, 2]) {
    const log = openLog(folder);
    log.logger.info({ line }, 'here');
    await log.close();
  }
  expect(readFileSync(join(folder, 'blockferry.log'), 'utf8')).toMatch(/"line":1,.*\n.*"line":2,/);
});

test('lines that the disk does not take are lost, and the next one says how many', async () => {
  const path = join(folder, 'blockferry.log');
  mkdirSync(path);
  const file = new LogFile(path, { fileBytesMax: 1000, filesMax: 1 });
  for (const line of ['{"a":1}\n', '{"a":2}\n']) file.write(line);
  await file.close();
  rmdirSync(path);
  file.write('{"a":3}\n');
  await file.close();
  const [said = '', line] = readFileSync(path, 'utf8').split('\n');
  expect(JSON.parse(said).msg).toBe('2 lines before this one are lost: the disk did not take them');
  expect(line).toBe('{"a":3}');
});

test('fields that hold secrets are not written, however deep they lie', async () => {
  const log = openLog(folder);
  const secrets = { authorization: 'Bearer hidden1', cookie: 'hidden2', token: 'hidden3', secret: 'hidden4' };
  log.logger.info({ ...secrets, headers: secrets, request: { headers: secrets } }, 'asked');
  await log.close();
  const text = readFileSync(join(folder, 'blockferry.log'), 'utf8');
  expect(text).toContain('asked');
  expect(text).not.toContain('hidden');
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
