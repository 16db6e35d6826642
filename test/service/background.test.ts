/** Jobs of all classes but foreground give way: their threads go last, and what they write is written out early. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, type TestContext, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { BACKGROUND_NICE } from '../../src/platform/give-way.js';
import { nativeAvailable } from '../../src/platform/libc.js';
import type { Priority } from '../../src/service/job.js';
import { expectSame, makeFile, scratchFolder } from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { commandAvailable } from '../support/servers.js';
import { OWNER, reaches, testService } from '../support/services.js';
import { threadPriorities } from '../support/thread-priorities.js';

const SIZE = 20 * MiB + 1;
const CHILD = fileURLToPath(new URL('../support/background-child.mjs', import.meta.url));

const lowered = (): number => threadPriorities(process.pid).filter((nice) => nice === BACKGROUND_NICE).length;
const others = (): number[] => threadPriorities(process.pid).filter((nice) => nice !== BACKGROUND_NICE);

test.skipIf(process.platform !== 'linux')(
  'threads of background jobs go last, and those of jobs that somebody waits for never do',
  async () => {
    const folder = scratchFolder();
    const source = makeFile(join(folder, 'source.img'), SIZE) as string;
    const { service } = await testService(new Shelf());
    const copy = async (name: string, priority: Priority): Promise<void> => {
      const target = join(folder, name);
      const options = { reflink: 'never' } as const;
      const job = await service.create({ files: [{ source, target }], options, priority, autoComplete: true }, OWNER);
      await reaches(service, job.id, 'acknowledged');
      expectSame(source, target);
    };
    const usual = new Set(others());
    await copy('waited-for', 'foreground');
    expect(lowered()).toBe(0);
    for (const priority of ['high', 'normal', 'low'] as const) await copy(priority, priority);
    const threads = lowered();
    expect([1, 2]).toContain(threads);
    await copy('waited-for-again', 'foreground');
    expect(lowered()).toBe(threads);
    expect(new Set(others())).toEqual(usual);
  },
);

/** Copies in the background while the calls are watched, or answered as told; answers what was called. */
function traced(context: TestContext, what: string, call: string): string[] {
  context.skip(!commandAvailable('strace') || !nativeAvailable(), 'needs strace and koffi');
  const folder = scratchFolder();
  const [source, target, log] = ['source.img', 'target.img', 'log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  makeFile(source, SIZE);
  execFileSync('strace', ['-f', '-qq', '-o', log, '-e', what, process.execPath, CHILD, source, target]);
  expectSame(source, target);
  const calls = readFileSync(log, 'utf8').split('\n');
  return calls.filter((line) => line.includes(`${call}(`));
}

test('every step of a background copy is begun and awaited with sync_file_range', async (context) => {
  const calls = traced(context, 'trace=sync_file_range', 'sync_file_range');
  const asked = (flags: string): number => calls.filter((line) => line.includes(`, ${flags})`)).length;
  expect(asked('SYNC_FILE_RANGE_WRITE')).toBeGreaterThanOrEqual(10);
  const all = 'SYNC_FILE_RANGE_WAIT_BEFORE|SYNC_FILE_RANGE_WRITE|SYNC_FILE_RANGE_WAIT_AFTER';
  expect(asked(all)).toBeGreaterThanOrEqual(9);
});

test('a sandbox that refuses to lower a priority keeps no background copy from being made', async (context) => {
  const calls = traced(context, 'inject=setpriority:error=EPERM', 'setpriority');
  expect(calls.join('\n')).toContain('(INJECTED)');
});

test('a sandbox that refuses early writing keeps no background copy from being made', async (context) => {
  const calls = traced(context, 'inject=sync_file_range:error=ENOSYS', 'sync_file_range');
  expect(calls).toHaveLength(1);
});
