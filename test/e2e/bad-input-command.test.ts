import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { decodePath } from '../../src/platform/path-bytes.js';
import {
  expectDone,
  expectSame,
  leftIn,
  makeFile,
  pairIn,
  partialCopy,
  patch,
  scratchFolder,
} from '../support/copying.js';
import { MAIN } from './command.js';

interface Said {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function blockferry(args: readonly string[], cwd?: string): Said {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', cwd });
  return { status, stdout, stderr };
}

/** Names that no string can carry go through printf of a shell, as octal escapes. */
function blockferryRaw(args: readonly Buffer[]): Said {
  const octal = (arg: Buffer): string => [...arg].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
  // The dot keeps newlines at the end, which $(…) would cut off.
  const words = args.map((arg, n) => `a${n}="$(printf '${octal(arg)}.')"; a${n}="\${a${n}%.}"`);
  const script = `${words.join('\n')}\nexec "$0" "$1" ${args.map((_, n) => `"$a${n}"`).join(' ')}`;
  const { status, stdout, stderr } = spawnSync('sh', ['-c', script, process.execPath, MAIN], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

test('every refusal has its exit code, one message on the error output and what to do next', async () => {
  const pair = pairIn(scratchFolder(), 8 * MiB);
  const refused = (args: readonly string[], status: number, says: RegExp): void => {
    const said = blockferry(args);
    expect(said).toMatchObject({ status, stdout: '' });
    expect(said.stderr).toMatch(says);
    expect(said.stderr).not.toMatch(/\n\s+at /);
  };
  refused(['copy', `${pair.source}.gone`, pair.target], 2, /source\.img\.gone.*no such file/);
  refused(['copy', pair.folder, pair.target], 2, /is a folder/);
  refused(['copy', pair.source, pair.source], 2, /the source itself/);
  refused(['copy', pair.source, join(pair.folder, 'missing', 'x')], 2, /Make the folder first/);
  refused(['copy', '--limit', 'fast', pair.source, pair.target], 2, /"fast"/);
  refused(['copy', '--limit', '-5', pair.source, pair.target], 2, /-5/);
  refused(['copy', '--limit', '5 parsecs', pair.source, pair.target], 2, /parsecs/);
  refused(['copy', '--chunk-size', '0', pair.source, pair.target], 2, /0/);
  refused(['copy', '--chunk-size', '3TiB', pair.source, pair.target], 2, /3\.00 TiB/);
  refused(['copy', '--workers', '0', pair.source, pair.target], 2, /0/);
  refused(['copy', '--workers', '1e9', pair.source, pair.target], 2, /1e9/);
  refused(['copy', '--lanes', 'many', pair.source, pair.target], 2, /many/);
  refused(['copy', '--turbo', pair.source, pair.target], 2, /--turbo/);
  refused(['copy', pair.source], 2, /target/);
  refused(['status', 'zero:5'], 2, /cannot be written to/);
  refused(['status', 'http://127.0.0.1:9/disk.img'], 3, /ECONNREFUSED/);
  refused(['copy', pair.source, pair.target, 'third'], 2, /\w/);
  expect(readdirSync(pair.folder)).toEqual([]);
  writeFileSync(pair.target, 'precious');
  refused(['copy', pair.source, pair.target], 2, /--overwrite/);
  rmSync(pair.target);
  await partialCopy(pair);
  writeFileSync(pair.journal, 'not a journal\n');
  refused(['copy', pair.source, pair.target], 5, /--discard/);
  expect(blockferry(['copy', '--discard', pair.source, pair.target])).toMatchObject({ status: 0 });
  expectDone(pair);
});

test('a comparison that finds a difference says where and ends with 4; with nothing to compare, 2', () => {
  const pair = pairIn(scratchFolder(), MiB);
  expect(blockferry(['copy', pair.source, pair.target])).toMatchObject({ status: 0 });
  expect(blockferry(['verify', pair.target, pair.source])).toMatchObject({ status: 0 });
  patch(pair.target, 123_456, Buffer.from([0, 0]));
  const said = blockferry(['verify', pair.target, pair.source]);
  expect(said.status).toBe(4);
  expect(said.stdout + said.stderr).toMatch(/12345[67]/);
  expect(blockferry(['verify', pair.target])).toMatchObject({ status: 2 });
  expect(blockferry(['verify', pair.target, `${pair.source}.gone`])).toMatchObject({ status: 2 });
});

const RAW_NAMES: readonly (readonly [string, Buffer])[] = [
  ['bytes that are not UTF-8', latin1('caf\xe9 \xff\xfe')],
  ['a newline at its end', latin1('line\n')],
  ['a leading dash, behind --', latin1('--discard')],
  ['emoji', Buffer.from('💾👩‍👧')],
  ['255 bytes that are not UTF-8', latin1('\xe9'.repeat(255))],
];

test.for(RAW_NAMES)('the command takes a name with %s as it is', ([, name]) => {
  const [from, to] = [scratchFolder(), scratchFolder()].map((folder) =>
    Buffer.concat([latin1(`${folder}/`), name]),
  ) as [Buffer, Buffer];
  makeFile(from, 64 * KiB);
  const said = blockferryRaw([latin1('copy'), latin1('--'), from, to]);
  expect(said).toMatchObject({ status: 0 });
  expectSame(from, to);
  expect(blockferryRaw([latin1('verify'), latin1('--'), to, from])).toMatchObject({ status: 0 });
  expect(blockferryRaw([latin1('status'), latin1('--'), to]).status).not.toBe(1);
  expect(leftIn(decodePath(to).slice(0, decodePath(to).lastIndexOf('/')))).toEqual([]);
});

test('a name that begins with a dash is a name behind --, also without a folder before it', () => {
  const folder = scratchFolder();
  makeFile(join(folder, '-source'), 10);
  expect(blockferry(['copy', '--', '-source', '--overwrite'], folder)).toMatchObject({ status: 0 });
  expectSame(join(folder, '-source'), join(folder, '--overwrite'));
});

test('a limit on the size of files ends in a clear error, and the copy goes on without it', () => {
  const pair = pairIn(scratchFolder(), 8 * MiB);
  const limited = spawnSync(
    'sh',
    ['-c', 'ulimit -f 4096; exec "$@"', 'sh', process.execPath, MAIN, 'copy', pair.source, pair.target],
    {
      encoding: 'utf8',
    },
  );
  expect(limited).toMatchObject({ status: 3, signal: null });
  expect(limited.stderr).toMatch(/too large/);
  expect(leftIn(pair.folder)).toEqual([]);
  expect(blockferry(['copy', pair.source, pair.target])).toMatchObject({ status: 0 });
  expectDone(pair);
});

test.for([[], ['--json']])(
  'a copy whose output has no room is whole all the same, and says so: %s',
  (flags, context) => {
    context.skip(!existsSync('/dev/full'), 'needs /dev/full');
    const pair = pairIn(scratchFolder(), 2 * MiB);
    const full = (...args: readonly string[]) => {
      const script = ['-c', 'exec "$0" "$@" > /dev/full', process.execPath, MAIN, ...args];
      return spawnSync('sh', script, { encoding: 'utf8' });
    };
    const { status, stderr } = full('copy', ...flags, pair.source, pair.target);
    expect(status).toBe(3);
    expect(stderr).toMatch(
      /the output cannot be written: ENOSPC.*\n {2}The work itself is done, and what it made is kept/,
    );
    expectDone(pair);
    expect(full('verify', ...flags, pair.target, pair.source).status).toBe(3);
    expect(full('status', ...flags, pair.target).status).toBe(3);
    expect(full('copy', ...flags, pair.source, pair.target)).toMatchObject({ status: 2 });
    patch(pair.target, 5, Buffer.from('other'));
    expect(full('verify', ...flags, pair.target, pair.source).status).toBe(4);
  },
);
