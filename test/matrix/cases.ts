/** What is done with a pair of ends: copies lose their server and are killed, and sources change under them. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type TestContext } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { type CopyOptions, status } from '../../src/index.js';
import {
  type CopyProcess,
  type CopyProcessOptions,
  CRAWL_BYTES_PER_SECOND,
  type Ended,
  startCopy,
} from '../support/copy-process.js';
import { type Seeded, writeMixedFile } from '../support/seeded.js';
import { type End, sha256Of } from './end.js';
import type { Pairing } from './ends.js';
import type { RunningEnds } from './running-ends.js';

export interface Scale {
  readonly sizeBytes: number;
  readonly chunkBytes: number;
}

/** Where a case runs. */
export interface Ground {
  readonly running: RunningEnds;
  readonly seeded: Seeded;
  readonly context: TestContext;
}

/** A whole copy at the limit takes so long: there is time to kill. */
const SECONDS = 3;
/**
 * And so long when it crawls: a doubt of what was written may have given all of it back by then, and the chunks for the
 * next checkpoint, of all lanes at once, have to be through before a server gives up on connections that stand still.
 */
const CRAWL_SECONDS = 150;
let count = 0;

export interface Case {
  readonly from: End;
  readonly to: End;
  readonly name: string;
  /** The bytes that the source has, here. */
  readonly file: string;
  readonly size: number;
  readonly options: CopyOptions;
  readonly start: (options: CopyOptions, more?: Omit<CopyProcessOptions, 'onFinished'>) => CopyProcess;
}

export async function makeCase(pairing: Pairing, { running, seeded, context }: Ground, scale: Scale): Promise<Case> {
  const [from, to] = [await running.get(pairing.from), await running.get(pairing.to)];
  const { source } = from;
  const { target } = to;
  if (!source || !target) throw new Error(`there is no copying from ${pairing.from} to ${pairing.to}`);
  const name = `disk-${++count}.img`;
  const grain = source.grainBytes ?? 1;
  const size = Math.ceil((scale.sizeBytes + seeded.int(1, MiB)) / grain) * grain - (grain === 1 ? 1 - (count % 2) : 0);
  const file = join(running.scratch, `file-${count}`);
  writeMixedFile(file, size, seeded, 3 * MiB);
  await source.put(name, file);
  await target.ready?.(`copy-${name}`, size);
  const options = {
    source: source.location(name),
    target: target.location(`copy-${name}`),
    ...(!target.oneChunk && { chunkBytes: scale.chunkBytes }),
    workers: 2,
    ...target.options,
  };
  const start: Case['start'] = (asked, more) => startCopy(asked, { ...more, onFinished: context.onTestFinished });
  return { from, to, name, file, size, options, start };
}

export async function clearCase({ from, to, name, file }: Case): Promise<void> {
  await from.remove(name);
  await to.remove(`copy-${name}`);
  rmSync(file, { force: true });
}

function slowly({ options, size, start }: Case, crawlAtBytes: number): CopyProcess {
  const crawlBytesPerSecond = Math.max(CRAWL_BYTES_PER_SECOND, Math.ceil(size / CRAWL_SECONDS));
  const limitBytesPerSecond = Math.ceil(size / SECONDS);
  return start({ ...options, limitBytesPerSecond }, { crawlAtBytes, crawlBytesPerSecond });
}

export async function expectCopied({ to, name, file, size }: Case, ended: Ended, about: string): Promise<void> {
  expect(ended.exitCode, `${about}: ${JSON.stringify(ended)}`).toBe(0);
  expect(await to.target?.sha256(`copy-${name}`, size), about).toBe(sha256Of(file));
}

/** The server is killed at one moment and the client at another; then the same copy is made again. */
export async function killBoth(pairing: Pairing, ground: Ground, scale: Scale): Promise<void> {
  const made = await makeCase(pairing, ground, scale);
  const { from, to, size, options, start } = made;
  const { seeded } = ground;
  const servers = [from.server, to.server].filter((server) => server !== undefined);
  const at = Math.floor(size * (0.05 + 0.25 * seeded.random()));
  const killAt = Math.floor(size * (0.6 + 0.2 * seeded.random()));
  const about = `${pairing.from} to ${pairing.to}, server killed at ${at}, client at ${killAt} of ${size} bytes`;
  const first = slowly(made, killAt);
  if (servers.length > 0) {
    await first.reached(at);
    const server = seeded.pick(servers);
    await server.kill();
    await server.restart();
  }
  if (!to.target?.oneChunk) await first.event(({ type }) => type === 'checkpoint');
  await first.reached(killAt);
  await first.kill();
  const claimed = (await status(options.target)).partial?.bytesClaimed ?? 0;
  const second = await start(options).ended;
  if (pairing.from === 'peer' && pairing.to === 'peer' && second.error?.code === 'E_TARGET_EXISTS') {
    // The host that pulls goes on for a while when its driver is gone, and may have come to the end.
    await expectCopied(made, { ...second, exitCode: 0 }, about);
    await clearCase(made);
    return;
  }
  await expectCopied(made, second, about);
  const { bytesReused = 0, bytesCopied = 0 } = second.result ?? {};
  if (!to.target?.oneChunk) {
    expect(claimed, about).toBeGreaterThan(0);
    expect(bytesReused, about).toBeGreaterThanOrEqual(claimed);
    expect(bytesCopied, about).toBeLessThanOrEqual(size - claimed);
  }
  await clearCase(made);
}

/** The source gets other bytes while it is copied, and while a copy that was killed waits to go on. */
export async function changeSource(pairing: Pairing, ground: Ground, scale: Scale): Promise<void> {
  const made = await makeCase(pairing, ground, scale);
  const { from, to, size, name, file, options, start } = made;
  const { seeded } = ground;
  const first = slowly(made, size / 2);
  await first.event(({ type }) => type === 'checkpoint');
  await first.kill();
  writeMixedFile(file, size, seeded, 3 * MiB);
  await from.source?.put(name, file);
  const resumed = await start(options).ended;
  if (from.source?.unversioned) {
    await expectCopied(made, resumed, 'nothing tells of the change: the bytes do');
    await clearCase(made);
    return;
  }
  expect(resumed.error?.code, JSON.stringify(resumed)).toBe('E_PART_OTHER_SOURCE');
  expect(await to.target?.sha256(`copy-${name}`, size)).toBeUndefined();
  const changeAt = Math.floor(size * (0.1 + 0.4 * seeded.random()));
  const second = slowly({ ...made, options: { ...options, discard: true } }, changeAt);
  await second.reached(changeAt);
  writeMixedFile(file, size, seeded, 3 * MiB);
  await from.source?.put(name, file);
  second.goOn();
  const { error } = await second.ended;
  expect(error?.code, JSON.stringify(error)).toBe('E_SOURCE_CHANGED');
  expect(await to.target?.sha256(`copy-${name}`, size)).toBeUndefined();
  await clearCase(made);
}
