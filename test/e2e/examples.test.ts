import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { start, workFolder } from './command.js';

const FOLDER = fileURLToPath(new URL('../../examples/', import.meta.url));

/** What the example prints, run in the folder; it must end well and complain about nothing. */
async function printed(folder: string, name: string, ...args: readonly string[]): Promise<string> {
  const { exitCode, out, err } = await start(folder, [process.execPath, join(FOLDER, name), ...args]).ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  return out;
}

/** What each prints for a folder with `disk.img` of 24 MiB. */
const EXPECTED: Readonly<Record<string, (folder: string) => Promise<void>>> = {
  'copy-with-progress.mjs': async (folder) => {
    const out = await printed(folder, 'copy-with-progress.mjs', 'disk.img', 'copy.img');
    expect(out).toMatch(/done: 25165824 bytes at .*copy\.img, root [0-9a-f]{16}\n$/);
  },
  'resume-after-abort.mjs': async (folder) => {
    const out = await printed(folder, 'resume-after-abort.mjs', 'disk.img', 'copy.img');
    expect(out).toMatch(/^stopped; .*\nwent on: [1-9]\d+ bytes proven again, \d+ bytes sent\n$/);
    const [reused, sent] = [...out.matchAll(/(\d+) bytes/g)].map((match) => Number(match[1]));
    expect((reused ?? 0) + (sent ?? 0)).toBe(24 * MiB);
  },
  'change-the-limit.mjs': async (folder) => {
    const out = await printed(folder, 'change-the-limit.mjs', 'disk.img', 'copy.img');
    expect(out).toMatch(/held back by: the limit of 4.00 MiB\/s that was set\n[\s\S]*done in \d+ ms\n$/);
  },
  'list-differences.mjs': async (folder) => {
    const other = readFileSync(join(folder, 'disk.img'));
    for (const at of [5000, 5001, 9_000_000]) other[at] = (other[at] as number) ^ 1;
    writeFileSync(join(folder, 'other.img'), other);
    const out = await printed(folder, 'list-differences.mjs', 'disk.img', 'other.img');
    expect(out).toBe('3 bytes differ\n2 bytes from 5000 on\n1 bytes from 9000000 on\n');
    copyFileSync(join(folder, 'disk.img'), join(folder, 'same.img'));
    expect(await printed(folder, 'list-differences.mjs', 'same.img', 'disk.img')).toBe('the same bytes\n');
  },
  'handle-errors.mjs': async (folder) => {
    const run = (source: string): Promise<string> => printed(folder, 'handle-errors.mjs', source, 'copy.img');
    expect(await run('missing.img')).toBe('the source is not there\n');
    expect(await run('disk.img')).toBe('copied\n');
    expect(await run('disk.img')).toBe('there already, nothing to do\n');
  },
  'status-of-a-partial.mjs': async (folder) => {
    expect(await printed(folder, 'status-of-a-partial.mjs', 'copy.img')).toBe('nothing is there\n');
    expect(await printed(folder, 'status-of-a-partial.mjs', 'disk.img')).toBe('complete\n');
  },
  'copy-folder.mjs': async (folder) => {
    writeFileSync(join(folder, 'half.tmp'), 'left out');
    const run = (): Promise<string> => printed(folder, 'copy-folder.mjs', `${folder}/`, `${folder}-copy`);
    onTestFinished(() => rmSync(`${folder}-copy`, { recursive: true, force: true }));
    expect(await run()).toBe('1 copied, 0 there already, 0 left out\n');
    expect(await run()).toBe('0 copied, 1 there already, 0 left out\n');
    expect(readdirSync(`${folder}-copy`)).toEqual(['disk.img']);
  },
  'prove-later.mjs': async (folder) => {
    const names = [`${folder}/`, `${folder}-copy`, `${folder}-copy.manifest`];
    onTestFinished(() => {
      for (const name of names.slice(1)) rmSync(name, { recursive: true, force: true });
    });
    expect(await printed(folder, 'prove-later.mjs', ...names)).toBe('1 files are what was copied\n');
  },
  'draw-the-chunks.mjs': async (folder) => {
    const out = await printed(folder, 'draw-the-chunks.mjs', 'disk.img', 'copy.img');
    expect(out.trim().split('\n').at(-1)).toBe('='.repeat(24));
  },
};

test.each(Object.entries(EXPECTED))('%s does what it says', async (_, run) => {
  const { folder } = await workFolder(24 * MiB);
  await run(folder);
});

test('every example is run here', () => {
  expect(readdirSync(FOLDER).sort()).toEqual(Object.keys(EXPECTED).sort());
});
