import { once } from 'node:events';
import { mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { blockferry, eventsOf, MAIN, start, workFolder } from './command.js';

test('copies a file, says how it was proven, and leaves nothing else behind', async () => {
  const { folder, content } = await workFolder(3 * MiB + 17);
  const { exitCode, out, err } = await blockferry(folder, 'copy', 'disk.img', 'copy.img').ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  expect(out).toContain('3.00 MiB');
  expect(out).toMatch(/root: xxh64:[0-9a-f]{16}/);
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
  expect((await readdir(folder)).sort()).toEqual(['copy.img', 'disk.img']);
});

test('never overwrites a target unasked, and names the option that would', async () => {
  const { folder, content } = await workFolder(100_000);
  await writeFile(join(folder, 'copy.img'), 'precious');
  const refused = await blockferry(folder, 'copy', 'disk.img', 'copy.img').ended;
  expect(refused).toMatchObject({ exitCode: 2, out: '' });
  expect(refused.err).toContain('--overwrite');
  expect(await readFile(join(folder, 'copy.img'), 'utf8')).toBe('precious');
  const replaced = await blockferry(folder, 'copy', '--overwrite', '--quiet', 'disk.img', 'copy.img').ended;
  expect(replaced).toEqual({ exitCode: 0, out: '', err: '' });
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
});

test('goes on after kill -9, and status tells of the partial in between', async () => {
  const { folder, content } = await workFolder(60 * MiB);
  const first = blockferry(folder, 'copy', '--json', '--limit', '15MiB', 'disk.img', 'copy.img');
  await first.event(({ type }) => type === 'checkpoint');
  // However long the status takes, the copy is not done before it.
  first.child.kill('SIGSTOP');
  const running = await blockferry(folder, 'status', 'copy.img').ended;
  expect(running.out).toContain(`still running: process ${first.child.pid} on ${hostname()}`);
  first.child.kill('SIGKILL');
  await first.ended;
  const status = await blockferry(folder, 'status', 'copy.img').ended;
  expect(status.exitCode).toBe(0);
  expect(status.out).toMatch(/a partial copy of \S*\/disk\.img/);
  expect(status.out).toContain(`was killed: process ${first.child.pid} on ${hostname()}`);
  const second = await blockferry(folder, 'copy', 'disk.img', 'copy.img').ended;
  expect(second.exitCode).toBe(0);
  expect(second.err).toMatch(/going on with the partial copy of an earlier run: [\d.]+ MiB of 60.0 MiB were on record/);
  expect(second.out).toContain('from an earlier run, proven again');
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
});

test('a copy that was killed is not said to run still where nobody asked for its exit code', async (context) => {
  context.skip(process.platform !== 'linux', 'needs /proc');
  const { folder } = await workFolder(60 * MiB);
  const copying = '"$0" "$1" copy --json --limit 15MiB disk.img copy.img & echo $! >&2; exec sleep 100';
  const parent = start(folder, ['bash', '-c', copying, process.execPath, MAIN]);
  const pid = new Promise<number>((resolve) => parent.child.stderr.once('data', (text) => resolve(Number(text))));
  await parent.event(({ type }) => type === 'checkpoint');
  process.kill(await pid, 'SIGKILL');
  const isZombie = async () => / Z /.test(await readFile(`/proc/${await pid}/stat`, 'latin1'));
  await expect.poll(isZombie, { timeout: 10_000 }).toBe(true);
  const { out } = await blockferry(folder, 'status', 'copy.img').ended;
  expect(out).toContain(`was killed: process ${await pid} on ${hostname()}`);
});

test('status says that there is no partial, and fails where there is nothing at all', async () => {
  const { folder } = await workFolder(10);
  const whole = await blockferry(folder, 'status', 'disk.img').ended;
  expect(whole).toMatchObject({ exitCode: 0, err: '' });
  expect(whole.out).toContain('there is no partial copy of it');
  const none = await blockferry(folder, 'status', 'nothing.img').ended;
  expect(none).toMatchObject({ exitCode: 2, out: '' });
  expect(none.err).toContain('neither');
});

test('verify answers 0 for the same bytes, and 4 with the ranges for others', async () => {
  const { folder, content } = await workFolder(MiB);
  const changed = Buffer.from(content);
  for (const at of [5000, 5001, 700_000]) changed.writeUInt8(content.readUInt8(at) ^ 1, at);
  await writeFile(join(folder, 'same.img'), content);
  await writeFile(join(folder, 'changed.img'), changed);
  const same = await blockferry(folder, 'verify', 'same.img', 'disk.img').ended;
  expect(same).toMatchObject({ exitCode: 0, err: '' });
  const different = await blockferry(folder, 'verify', 'changed.img', 'disk.img').ended;
  expect(different.exitCode).toBe(4);
  expect(different.out).toContain('differ in 3 bytes, in 2 ranges');
  expect(different.out).toContain('bytes 5000 to 5001 (2 bytes)');
  expect(different.out).toContain('bytes 700000 to 700000 (1 byte)');
  const asJson = await blockferry(folder, 'verify', '--json', 'changed.img', 'disk.img').ended;
  expect(asJson.exitCode).toBe(4);
  expect(JSON.parse(asJson.out)).toMatchObject({
    schema: 1,
    same: false,
    differing: [
      { offset: 5000, length: 2 },
      { offset: 700_000, length: 1 },
    ],
  });
});

test('--json prints one event a line, acknowledged last, and then the result', async () => {
  const { folder } = await workFolder(9 * MiB);
  const { exitCode, out, err } = await blockferry(folder, 'copy', '--json', 'disk.img', 'copy.img').ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  const events = eventsOf(out) as { schema: number; type: string; state?: string; bytesDone?: number }[];
  expect(events.every(({ schema }) => schema === 1)).toBe(true);
  expect(events.findLast(({ type }) => type === 'progress')?.bytesDone).toBe(9 * MiB);
  expect(events.findLast(({ type }) => type === 'state')?.state).toBe('acknowledged');
  expect(events.at(-1)).toMatchObject({ type: 'result', bytesTotal: 9 * MiB });
});

test('--json tells of a failure as a state with its error, and people read it on the standard error', async () => {
  const { folder } = await workFolder(10);
  const { exitCode, out, err } = await blockferry(folder, 'copy', '--json', 'missing.img', 'copy.img').ended;
  expect(exitCode).toBe(2);
  const failed = { code: 'E_SOURCE_MISSING' };
  expect(eventsOf(out).at(-2)).toMatchObject({ type: 'state', state: 'error', error: failed });
  expect(eventsOf(out).at(-1)).toMatchObject({ type: 'error', at: expect.any(Number), error: failed });
  expect(err).toContain('missing.img');
});

test.each(['--json', '--workers=2'])('a reader that leaves early does not stop the copy (%s)', async (option) => {
  const { folder, content } = await workFolder(20 * MiB);
  const line = `set -o pipefail; "$0" "$1" copy ${option} --limit 20MiB disk.img copy.img 2>&1 | head -c 1`;
  const { exitCode, err } = await start(folder, ['bash', '-c', line, process.execPath, MAIN]).ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s keeps what is finished and says how to go on', async (signal) => {
  const { folder, content } = await workFolder(40 * MiB);
  const chunks = ['--chunk-size', '1MiB'];
  const first = blockferry(folder, 'copy', '--json', '--limit', '20MiB', ...chunks, 'disk.img', "it's a copy");
  await first.event((event) => event.type === 'progress' && event.bytesDone >= 8 * MiB);
  first.child.kill(signal);
  const { exitCode, out, err } = await first.ended;
  expect(exitCode).toBe(130);
  expect(eventsOf(out).findLast(({ type }) => type === 'state')).toMatchObject({ state: 'suspended' });
  expect(err).toMatch(/stopped; [\d.]+ MiB of 40.0 MiB are copied and kept/);
  const command = /Go on with: (.*)/.exec(err)?.[1] as string;
  expect(command).toContain(`copy --json --limit 20MiB --chunk-size 1MiB disk.img 'it'\\''s a copy'`);
  const second = await start(folder, ['bash', '-c', command]).ended;
  expect(second.exitCode).toBe(0);
  const result = eventsOf(second.out).at(-1) as unknown as { type: string; bytesReused: number };
  expect(result.type).toBe('result');
  expect(result.bytesReused).toBeGreaterThanOrEqual(4 * MiB);
  expect((await readFile(join(folder, "it's a copy"))).equals(content)).toBe(true);
});

test('a comparison that is stopped says so, and speaks of no record, since it keeps none', async () => {
  const { folder } = await workFolder(1);
  for (const name of ['one', 'other']) {
    await writeFile(join(folder, name), 'x');
    await truncate(join(folder, name), 2 ** 40);
  }
  // Without koffi it knows of no holes, and so it does not end.
  const { child, ended } = start(folder, [
    'env',
    'BLOCKFERRY_NO_NATIVE=1',
    process.execPath,
    MAIN,
    'verify',
    'one',
    'other',
  ]);
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  const { exitCode, err } = await ended;
  expect(exitCode).toBe(130);
  expect(err).toMatch(/^stopping \(once more: leave at once\)\n.*stopped before all was compared/m);
});

test('a hangup does not stop a copy that has no terminal, as under nohup', async () => {
  const { folder, content } = await workFolder(20 * MiB);
  const run = blockferry(folder, 'copy', '--json', '--limit', '20MiB', 'disk.img', 'copy.img');
  await run.event((event) => event.type === 'progress' && event.bytesDone >= 4 * MiB);
  run.child.kill('SIGHUP');
  expect((await run.ended).exitCode).toBe(0);
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
});

test('an interrupted copy into a folder says how much of the file is kept', async () => {
  const { folder } = await workFolder(20 * MiB);
  await mkdir(join(folder, 'backup'));
  const first = blockferry(folder, 'copy', '--json', '--limit', '10MiB', '--chunk-size', '1MiB', 'disk.img', 'backup');
  await first.event((event) => event.type === 'progress' && event.bytesDone >= 4 * MiB);
  first.child.kill('SIGINT');
  expect((await first.ended).err).toMatch(/stopped; [\d.]+ MiB of 20.0 MiB are copied and kept/);
});

test('a second signal leaves at once, and the copy can still go on', async () => {
  const { folder, content } = await workFolder(40 * MiB);
  const first = blockferry(folder, 'copy', '--json', '--limit', '10MiB', 'disk.img', 'copy.img');
  await first.event((event) => event.type === 'progress' && event.bytesDone > 0);
  // Both are waiting when the process goes on, so no time passes between them.
  for (const signal of ['SIGSTOP', 'SIGINT', 'SIGTERM', 'SIGCONT'] as const) first.child.kill(signal);
  const { exitCode, err } = await first.ended;
  expect(exitCode).toBe(130);
  expect(err).toContain('stopping');
  expect(err).not.toContain('Go on with');
  const second = await blockferry(folder, 'copy', 'disk.img', 'copy.img').ended;
  expect(second.exitCode).toBe(0);
  expect((await readFile(join(folder, 'copy.img'))).equals(content)).toBe(true);
});

test('names that are not UTF-8 or hold control characters are copied as they are and shown harmlessly', async () => {
  const { folder, content } = await workFolder(1000);
  const copyTo = (name: string) =>
    start(folder, ['bash', '-c', `"$0" "$1" copy disk.img ${name}`, process.execPath, MAIN]);
  const { exitCode, out } = await copyTo("$'b\\xff\\n\\x1b[31m'").ended;
  expect(exitCode).toBe(0);
  expect(out).toContain('b\\xff\\n\\x1b[31m');
  const name = Buffer.concat([Buffer.from(`${folder}/b`), Buffer.from([0xff]), Buffer.from('\n\x1b[31m')]);
  expect(await readFile(name)).toEqual(content);
  const again = await copyTo("$'b\\xff\\n\\x1b[31m'").ended;
  expect(again.exitCode).toBe(2);
  expect(again.err).not.toContain('\x1b');
});

test('nonsense is refused with exit code 2, before anything is touched', async () => {
  const { folder } = await workFolder(10);
  for (const args of [['--limit', 'fast'], ['--frobnicate'], ['--workers', '-1'], ['--chunk-size', '1']]) {
    const { exitCode, out, err } = await blockferry(folder, 'copy', ...args, 'disk.img', 'copy.img').ended;
    expect({ args, exitCode, out }).toEqual({ args, exitCode: 2, out: '' });
    expect(err).toMatch(/^blockferry: .+\n {2}\S/);
  }
  expect(await readdir(folder)).toEqual(['disk.img']);
});

test('--version and --help answer on the standard output', async () => {
  const { folder } = await workFolder(1);
  expect((await blockferry(folder, '--version').ended).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  const help = await blockferry(folder, 'copy', '--help').ended;
  expect(help).toMatchObject({ exitCode: 0, err: '' });
  expect(help.out).toContain('--read-back');
  expect((await blockferry(folder).ended).exitCode).toBe(2);
});
