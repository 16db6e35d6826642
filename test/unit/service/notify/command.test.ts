import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../../src/core/clock.js';
import type { Job } from '../../../../src/service/job.js';
import { COMMAND_MS_MAX, GRACE_MS } from '../../../../src/service/notify/command.js';
import { CLOSE_MS, Notifier } from '../../../../src/service/notify/notifier.js';
import { AskedClock, until } from '../../../support/asked-clock.js';
import { fileWith, jobWith, toldOf } from '../../../support/stored-jobs.js';

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'notify-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** A program that the test writes; it is found under its own name. */
function program(folder: string, script: string, name = 'told.sh'): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

function notifier(clock: AskedClock | typeof systemClock = systemClock) {
  const notes: string[] = [];
  return { tells: new Notifier({ clock, random: () => 0.5, note: (_job, note) => notes.push(note) }), notes };
}

const failed = (changes: Partial<Job> = {}): Job =>
  jobWith({ state: 'error', reason: 'the source is gone', ...changes });

/** What is waited for and need not pass. */
const LIMITS = [COMMAND_MS_MAX, GRACE_MS];

async function pidIn(folder: string): Promise<number> {
  const path = join(folder, 'pid');
  await until(() => existsSync(path) && readFileSync(path, 'utf8').endsWith('\n'));
  return Number(readFileSync(path, 'utf8'));
}

const running = (pid: number): boolean => {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
};

test('runs a program with the facts of the job in its environment, and with no secret of the service', async () => {
  const folder = scratch();
  process.env.AWS_SECRET_ACCESS_KEY = 'secret';
  onTestFinished(() => {
    delete process.env.AWS_SECRET_ACCESS_KEY;
  });
  const path = program(
    folder,
    `printf '%s|' "$@" > ${folder}/arguments; env -0 > ${folder}/told; mv ${folder}/told ${folder}/env`,
  );
  const { tells, notes } = notifier();
  const files = [fileWith(0, { size: 100 }), fileWith(1, { size: 23 }), fileWith(2)];
  const job = failed({ files, name: 'nightly $(touch hacked) "; rm -rf /\n', notify: [path, 'a b', '', '$HOME', '*'] });
  tells.tell(job, toldOf(1, job));
  await until(() => existsSync(join(folder, 'env')));
  await tells.close();
  const lines = readFileSync(join(folder, 'env'), 'utf8').split('\0');
  const told = Object.fromEntries(lines.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]));
  expect(told).toMatchObject({
    ...{ BLOCKFERRY_JOB_ID: job.id, BLOCKFERRY_JOB_STATE: 'error', BLOCKFERRY_JOB_NAME: job.name },
    ...{ BLOCKFERRY_JOB_REASON: 'the source is gone', BLOCKFERRY_JOB_OWNER: 'ada', BLOCKFERRY_JOB_KIND: 'copy' },
    ...{ BLOCKFERRY_JOB_FILES: '3', BLOCKFERRY_JOB_BYTES: '123', BLOCKFERRY_JOB_PRIORITY: 'normal' },
    ...{ BLOCKFERRY_JOB_SOURCE: 'a', BLOCKFERRY_JOB_TARGET: 'b', PATH: process.env.PATH },
  });
  expect(lines.join()).not.toContain('secret');
  expect(readFileSync(join(folder, 'arguments'), 'utf8')).toBe('a b||$HOME|*|');
  expect(notes).toEqual([]);
});

test('a program that fails is run again a few times, and then its owner reads what it said', async () => {
  const folder = scratch();
  const path = program(
    folder,
    `echo run >> ${folder}/runs; yes noise | head -c 5000000; echo 'no mail today' >&2; exit 3`,
  );
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = failed({ notify: [path] });
  tells.tell(job, toldOf(1, job));
  await clock.passAllBut(LIMITS, () => notes.length > 0);
  expect(readFileSync(join(folder, 'runs'), 'utf8')).toBe('run\n'.repeat(4));
  expect(notes[0]).toContain(`Nobody was told of the state "error": the notify command ${path} ended with exit code 3`);
  expect(notes[0]).toContain('no mail today');
  expect(notes[0]?.length).toBeLessThan(2_500);
  await tells.close();
});

test('a program that works the second time is told of by nobody', async () => {
  const folder = scratch();
  const path = program(folder, `test -e ${folder}/once && exec touch ${folder}/twice; touch ${folder}/once; exit 1`);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = failed({ notify: [path] });
  tells.tell(job, toldOf(1, job));
  await clock.passAllBut(LIMITS, () => existsSync(join(folder, 'twice')));
  await tells.close();
  expect(notes).toEqual([]);
});

test.each([
  ['that is missing', 'absent', 'ENOENT'],
  ['that is no program', 'text', 'EACCES'],
])('a program %s is told at once', async (_name, file, code) => {
  const folder = scratch();
  writeFileSync(join(folder, 'text'), 'just text');
  const { tells, notes } = notifier(new AskedClock());
  const job = failed({ notify: [join(folder, file)] });
  tells.tell(job, toldOf(1, job));
  await until(() => notes.length > 0);
  expect(notes[0]).toContain(`cannot be run (${code}). Name an executable file`);
  await tells.close();
});

test('a program that hangs is ended with all that it started, and holds up no other job', async () => {
  const folder = scratch();
  const hang = program(folder, `trap '' TERM\nsleep 1000 &\necho $$ $! >> ${folder}/pids\nwait; wait`, 'hang.sh');
  const quick = program(folder, `touch ${folder}/done`, 'quick.sh');
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const [stuck, other] = [failed({ notify: [hang] }), failed({ notify: [quick] })];
  tells.tell(stuck, toldOf(1, stuck));
  const pids = () => (existsSync(join(folder, 'pids')) ? readFileSync(join(folder, 'pids'), 'utf8') : '');
  await until(() => pids().endsWith('\n'));
  tells.tell(other, toldOf(2, other));
  // Nothing but the end of the one that hangs is waited for.
  await until(() => existsSync(join(folder, 'done')) && clock.sleeping === 1);
  for (let attempts = 1; notes.length === 0; attempts++) {
    clock.advance(COMMAND_MS_MAX);
    const again = () => pids().split('\n').length === attempts + 2;
    await clock.passAllBut([COMMAND_MS_MAX], () => notes.length > 0 || again());
  }
  expect(notes[0]).toContain('did not end within 60 seconds');
  const all = pids().trim().split(/\s/).map(Number);
  expect(all).toHaveLength(8);
  await until(() => !all.some(running));
  await tells.close();
});

test('what a program leaves running is not waited for', async () => {
  const folder = scratch();
  const path = program(folder, `sleep 1000 & echo $! > ${folder}/pid; exit 0`);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = failed({ notify: [path] });
  tells.tell(job, toldOf(1, job));
  const pid = await pidIn(folder);
  onTestFinished(() => void process.kill(pid, 'SIGKILL'));
  await until(() => clock.waits.includes(GRACE_MS));
  clock.advance(GRACE_MS);
  await tells.close();
  expect(running(pid)).toBe(true);
  expect(notes).toEqual([]);
});

test('the end of the service gives a program a moment, and ends it then', async () => {
  const folder = scratch();
  const path = program(folder, `echo $$ > ${folder}/pid; exec sleep 1000`);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = failed({ notify: [path] });
  tells.tell(job, toldOf(1, job));
  const pid = await pidIn(folder);
  const closing = tells.close();
  expect(running(pid)).toBe(true);
  clock.advance(CLOSE_MS);
  await closing;
  expect(running(pid)).toBe(false);
  expect(notes).toEqual(['Nobody was told of the state "error": the service ends']);
});
