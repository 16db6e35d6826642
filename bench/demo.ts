/**
 * The main job of Blockferry as a story: a disk is copied, the copy is killed half way, resumed and proven. It exits
 * with 0 only when everything was as promised, and it leaves nothing behind unless asked to.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdtemp, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { nowMs, systemClock } from '../src/core/clock.js';
import { errnoOf, TransferError } from '../src/core/errors.js';
import type { ProgressEvent } from '../src/core/events.js';
import { formatBytes, formatDuration, MiB, parseBytes } from '../src/core/units.js';
import { decodeVhdFooter, VHD_FOOTER_BYTES } from '../src/disk/vhd/footer.js';
import { type CopyResult, runCommand, runCopy } from './demo-child.js';
import { type DemoDisk, makeDemoDisk, STRETCH_BYTES } from './demo-disk.js';
import { Printer } from './demo-print.js';

const HELP = `usage: npm run demo -- [options]

Copies a disk image, kills the copy half way, resumes it and proves the result.

  --dir <folder>   work in a new folder inside this one (default: ${tmpdir()})
  --size <bytes>   size of the disk: a multiple of 16MiB, 64MiB or more (default: 1GiB)
  --keep           keep the disk and its copy
`;
const SIZE_BYTES_MIN = 4 * STRETCH_BYTES;
const SOURCE = 'disk.vhd';
const TARGET = 'copy.vhd';
/** The whole copy would take this long, so that there is time to watch it. */
const WATCH_SECONDS = 11;

interface Options {
  readonly dir: string;
  readonly sizeBytes: number;
  readonly keep: boolean;
}

/** What the steps share. */
interface Scene {
  readonly folder: string;
  readonly print: Printer;
  readonly signal: AbortSignal;
}

async function tell(options: Options, print: Printer, signal: AbortSignal): Promise<void> {
  await assertSpace(options);
  const folder = await mkdtemp(join(options.dir, 'blockferry-demo-'));
  try {
    print.line('Blockferry demo: a copy is killed half way, resumed, and proven.');
    print.line(`Folder: ${folder} (${options.keep ? 'kept' : 'removed'} at the end)`);
    const scene = { folder, print, signal };
    const { disk, makeMs } = await make(scene, options.sizeBytes);
    const first = await copyAndKill(scene, disk);
    await showStatus(scene);
    const second = await resume(scene, disk, first);
    const proof = await prove(scene, disk, options.sizeBytes);
    summary(print, { disk, first, second, ...proof, makeMs });
  } finally {
    if (!options.keep) await rm(folder, { recursive: true, force: true });
  }
}

async function assertSpace(options: Options): Promise<void> {
  const needed = Math.ceil(options.sizeBytes * 2.2);
  const space = await statfs(options.dir).catch((cause: unknown) => {
    throw new TransferError('E_USAGE', `cannot use the folder ${options.dir}: ${errnoOf(cause) ?? String(cause)}`, {
      hint: 'Name an existing folder with --dir <folder>.',
      cause,
    });
  });
  const free = space.bavail * space.bsize;
  if (free >= needed) return;
  const message = `${options.dir}: the demo needs ${formatBytes(needed)} free, and ${formatBytes(free)} is free`;
  const hint = 'Nothing was written. Name a roomier folder with --dir <folder>, or a smaller disk with --size 256MiB.';
  throw new TransferError('E_USAGE', message, { hint });
}

async function make(scene: Scene, sizeBytes: number): Promise<{ disk: DemoDisk; makeMs: number }> {
  scene.print.step('Make a disk');
  const startMs = nowMs(systemClock);
  const path = join(scene.folder, SOURCE);
  const disk = await makeDemoDisk({ path, sizeBytes, createdAtMs: systemClock.wallMs() }, scene.signal);
  const makeMs = nowMs(systemClock) - startMs;
  const empty = formatBytes(disk.fileBytes - disk.dataBytes);
  scene.print.note(`${SOURCE}: a fixed VHD of ${formatBytes(sizeBytes)}, made in ${formatDuration(makeMs)}`);
  scene.print.note(`${formatBytes(disk.dataBytes)} of noise and text, ${empty} of zeros and holes`);
  return { disk, makeMs };
}

async function copyAndKill(scene: Scene, disk: DemoDisk): Promise<CopyResult> {
  const { folder, print, signal } = scene;
  print.step('Copy it, with a limit so that there is time to watch, and kill the copy half way');
  const limit = `${Math.max(1, Math.round(disk.dataBytes / WATCH_SECONDS / MiB))}MiB`;
  print.command(['copy', '--limit', limit, SOURCE, TARGET]);
  const watch = (event: ProgressEvent): 'kill' | 'go on' => {
    print.progress(event);
    return event.bytesDone >= event.bytesTotal / 2 ? 'kill' : 'go on';
  };
  const first = await runCopy(folder, ['--limit', limit, SOURCE, TARGET], watch, signal);
  expect(first.killed, 'the copy ended before it could be killed', first.errorOutput);
  print.warn('kill -9: no warning, no time to save anything');
  const visible = await access(join(folder, TARGET)).then(
    () => true,
    (thrown: unknown) => errnoOf(thrown) !== 'ENOENT',
  );
  expect(!visible, `${TARGET} is visible although its copy was cut short`);
  print.good(`there is no ${TARGET}: a target appears whole or not at all`);
  return first;
}

async function showStatus(scene: Scene): Promise<void> {
  scene.print.step('Ask what is left');
  scene.print.command(['status', TARGET]);
  const status = await runCommand(scene.folder, ['status', TARGET], scene.signal);
  scene.print.quote(status.output);
  expect(status.exitCode === 0, `blockferry status ended with ${status.exitCode}`);
}

async function resume(scene: Scene, disk: DemoDisk, first: CopyResult): Promise<CopyResult> {
  const { folder, print, signal } = scene;
  print.step('Run the same command again, without the limit');
  print.command(['copy', SOURCE, TARGET]);
  const watch = (event: ProgressEvent): 'go on' => {
    print.progress(event);
    return 'go on';
  };
  const second = await runCopy(folder, [SOURCE, TARGET], watch, signal);
  const { progress } = second;
  expect(second.exitCode === 0, `the resumed copy ended with ${second.exitCode}`, second.errorOutput);
  expect(second.acknowledged, 'the resumed copy did not say that the target is complete');
  const done = progress?.bytesDone === disk.fileBytes && progress.bytesTotal === disk.fileBytes;
  expect(done, `the resumed copy told of ${progress?.bytesDone} bytes, expected ${disk.fileBytes}`);
  const kept = (progress?.bytesReused ?? 0) + (progress?.bytesZero ?? 0);
  expect((progress?.bytesReused ?? 0) > 0, 'nothing of the killed copy was used again');
  expect(kept >= first.recordedBytes, `${first.recordedBytes} bytes were recorded before the kill, ${kept} were kept`);
  print.good(`${formatBytes(progress?.bytesReused ?? 0)} of the killed copy were proven and kept`);
  return second;
}

interface Proof {
  readonly sha256: string;
  readonly verifyMs: number;
  readonly compareMs: number;
}

async function prove(scene: Scene, disk: DemoDisk, sizeBytes: number): Promise<Proof> {
  const { folder, print, signal } = scene;
  print.step('Prove it');
  print.command(['verify', TARGET, SOURCE]);
  const verify = await runCommand(folder, ['verify', TARGET, SOURCE], signal);
  print.quote(verify.output);
  expect(verify.exitCode === 0, `blockferry verify ended with ${verify.exitCode}`);

  const startMs = nowMs(systemClock);
  const sha256 = await sha256Of(join(folder, SOURCE), signal);
  const copied = await sha256Of(join(folder, TARGET), signal);
  expect(copied === sha256, `the SHA-256 of ${TARGET} is ${copied}, that of ${SOURCE} is ${sha256}`);
  print.good('both files have one SHA-256, computed here without Blockferry');
  const compareMs = nowMs(systemClock) - startMs;

  const footer = decodeVhdFooter(await lastBytes(join(folder, TARGET), disk.fileBytes));
  const whole = footer.diskType === 'fixed' && footer.currentBytes === sizeBytes;
  expect(whole, `${TARGET} says it is a ${footer.diskType} disk of ${footer.currentBytes} bytes`);
  print.good(`${TARGET} ends with a valid VHD footer: fixed, ${formatBytes(footer.currentBytes)}`);

  const left = (await readdir(folder)).filter((name) => name !== SOURCE && name !== TARGET);
  expect(left.length === 0, `left behind: ${left.join(', ')}`);
  print.good('no partial file and no journal are left behind');
  return { sha256, verifyMs: verify.elapsedMs, compareMs };
}

async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: MiB }), hash, { signal });
  return hash.digest('hex');
}

async function lastBytes(path: string, fileBytes: number): Promise<Uint8Array> {
  const { size } = await stat(path);
  expect(size === fileBytes, `${path} has ${size} bytes, expected ${fileBytes}`);
  const file = await open(path);
  try {
    const bytes = Buffer.alloc(VHD_FOOTER_BYTES);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, size - bytes.length);
    return bytes.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

interface Story extends Proof {
  readonly disk: DemoDisk;
  readonly first: CopyResult;
  readonly second: CopyResult;
  readonly makeMs: number;
}

function summary(print: Printer, story: Story): void {
  const { disk, first, second } = story;
  // The first copy may have gone on for a few milliseconds after its last word, hence the bound at zero.
  const resent = Math.max(0, sentBytes(first) + sentBytes(second) - disk.dataBytes);
  print.table('What was proven', [
    ['Same bytes', 'blockferry verify, and SHA-256 by the demo itself'],
    ['SHA-256', story.sha256],
    ['Disk', 'the copy is a valid fixed VHD of the exact size'],
  ]);
  print.table('What was sent', [
    ['Bytes in all', `${formatBytes(disk.fileBytes)}, of which ${formatBytes(disk.dataBytes)} are data`],
    ['Before the kill', formatBytes(sentBytes(first))],
    ['Used again', `${formatBytes(second.progress?.bytesReused ?? 0)} (proven, not sent again)`],
    ['After the kill', formatBytes(sentBytes(second))],
    ['Sent twice', formatBytes(resent)],
  ]);
  print.table('How long it took', [
    ['Making the disk', formatDuration(story.makeMs)],
    ['Copy, killed', formatDuration(first.elapsedMs)],
    ['Copy, resumed', formatDuration(second.elapsedMs)],
    ['Verify', formatDuration(story.verifyMs)],
    ['SHA-256 of both', formatDuration(story.compareMs)],
  ]);
  print.line('');
  print.line(`The kill cost ${formatBytes(resent)} of re-sending. The copy is whole and proven.`);
}

/** Bytes that went from the source to the target: neither used again nor known to be zero. */
function sentBytes(copy: CopyResult): number {
  const { progress } = copy;
  return progress === undefined ? 0 : progress.bytesDone - progress.bytesReused - progress.bytesZero;
}

function expect(holds: boolean, otherwise: string, said = ''): asserts holds {
  if (holds) return;
  const words = said.trim();
  throw new TransferError('E_BUG', `not as promised: ${otherwise}${words === '' ? '' : `\n${words}`}`, {
    hint: 'Run the demo with --keep to keep its files, and please report what it printed.',
  });
}

function readOptions(): Options | 'help' {
  const known = {
    dir: { type: 'string', default: tmpdir() },
    size: { type: 'string', default: '1GiB' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  try {
    const { values } = parseArgs({ options: known });
    if (values.help) return 'help';
    const sizeBytes = parseBytes(values.size, '--size');
    if (sizeBytes >= SIZE_BYTES_MIN && sizeBytes % STRETCH_BYTES === 0) {
      return { dir: resolve(values.dir), sizeBytes, keep: values.keep };
    }
    throw new Error(`--size ${values.size}: expected a multiple of 16MiB, 64MiB or more`);
  } catch (thrown) {
    if (thrown instanceof TransferError) throw thrown;
    throw new TransferError('E_USAGE', String(thrown instanceof Error ? thrown.message : thrown), { hint: HELP });
  }
}

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stop.abort(new TransferError('E_STOPPED', `the demo was stopped by ${name}`)));
  }
  process.stdout.on('error', (cause) =>
    stop.abort(new TransferError('E_STOPPED', 'nobody reads the output', { cause })),
  );
  try {
    const options = readOptions();
    if (options === 'help') process.stdout.write(HELP);
    else await tell(options, new Printer(process.stdout), stop.signal);
  } catch (thrown) {
    const error = TransferError.from(stop.signal.aborted ? stop.signal.reason : thrown);
    process.stderr.write(`\nerror: ${error.message}\n${error.detail.hint ? `${error.detail.hint}\n` : ''}`);
    process.exitCode = error.exitCode;
  }
}

await main();
