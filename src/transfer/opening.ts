/**
 * How a job begins: look at both ends, take the journal's lock, and find out what is there. The outcome is one of
 * three: the target is whole already, there is a partial of this very source to go on with, or there is nothing and the
 * job begins afresh.
 */
import { CHUNK_BYTES_DEFAULT, CHUNK_COUNT_MAX, ChunkGrid } from '../core/chunk.js';
import type { Clock } from '../core/clock.js';
import type { Algorithm } from '../core/digest.js';
import type { CommitRequest, Location, PreparedTarget, TargetSite } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { formatBytes, KiB } from '../core/units.js';
import type { JournalContent, JournalRef } from '../journal/journal.js';
import { type Claims, emptyClaims, encodeRecord } from '../journal/journal.js';
import type { ChunkRunner } from './chunk-runner.js';
import { Plan } from './plan.js';
import type { SourceInfo } from './requests.js';
import { openSource, type RetryRules } from './retry.js';

const ON_DEVICE = 'It is a device: --overwrite writes over what is on it.';
const REPLACE = 'Say --overwrite to replace it, once the new copy is complete and proven, or choose another target.';

export interface OpenRequest {
  readonly source: Location;
  readonly target: Location;
  readonly algorithm: Algorithm;
  readonly chunkBytes?: number | undefined;
  readonly rateBytesPerSecond: number;
  readonly overwrite: boolean;
  readonly discard: boolean;
  readonly sync: boolean;
  /** Where a manifest of the target is to be written. */
  readonly manifest?: string | undefined;
}

export interface OpenedJob {
  readonly source: SourceInfo;
  readonly site: TargetSite;
  readonly journal: JournalRef;
  readonly grid: ChunkGrid;
  readonly algorithm: Algorithm;
  /** Absent: a commit that was cut short has been finished, and the target is whole. */
  readonly work?: OpenedWork;
  /** There instead of work: what is on record of the target. */
  readonly whole?: JournalContent;
  readonly damagedRecords: number;
  /** There was a record of an earlier run, but its partial data is gone. */
  readonly partialLost?: boolean;
}

export interface OpenedWork {
  readonly prepared: PreparedTarget;
  readonly plan: Plan;
  readonly claims: Claims;
  /** Length of the journal in bytes. */
  readonly position: number;
  readonly resumed: boolean;
  /** Some claims may never have been flushed. */
  readonly unsynced: boolean;
}

export async function openJob(request: OpenRequest, runner: ChunkRunner, rules: RetryRules): Promise<OpenedJob> {
  const source = await openSource(runner, request.source, rules);
  const { clock } = rules;
  try {
    const job = await openTarget(request, source, runner, clock);
    // An earlier run had put another source under this name: that is over now, and this job looks again.
    return job ?? (await openTarget(request, source, runner, clock)) ?? raceLost(request);
  } catch (thrown) {
    await runner.run('close-source', { ref: source.ref });
    throw thrown;
  }
}

interface Found {
  readonly source: SourceInfo;
  readonly site: TargetSite;
  readonly journal: JournalRef;
  readonly content: JournalContent | undefined;
}

/**
 * Undefined: there was a finished commit of another source to tidy up after, and the target has to be looked at again.
 */
async function openTarget(
  request: OpenRequest,
  source: SourceInfo,
  runner: ChunkRunner,
  clock: Clock,
): Promise<OpenedJob | undefined> {
  const locate = { location: request.target, sourceName: source.fileName };
  const before = await runner.run('locate-target', locate);
  assertApart(source, before);
  const opened = await runner.run('open-journal', { path: before.journalPath, forget: request.discard });
  const { ref: journal, content, created } = opened;
  try {
    // Another run may have finished between the first look and the lock.
    const site = await runner.run('locate-target', locate);
    const found = { source, site, journal, content };
    const earlier = await finishEarlierCommit(request, found, runner);
    if (earlier === 'none') return await openWork(request, found, runner, clock);
    if (earlier === 'this' && content) return wholeAlready(found, content);
  } catch (thrown) {
    if (created) await runner.run('drop-journal', { ref: journal, sync: false });
    else await runner.run('close-journal', { ref: journal });
    throw thrown;
  }
  await runner.run('drop-journal', { ref: journal, sync: request.sync });
  return undefined;
}

/** A commit that a crash cut short is finished first, whoever asks: of this source, or of another one. */
async function finishEarlierCommit(
  request: OpenRequest,
  { source, site, journal, content }: Found,
  runner: ChunkRunner,
): Promise<'none' | 'this' | 'other'> {
  const committing = content?.news.committing;
  if (!content || !committing) return 'none';
  const { part } = committing;
  const commit: CommitRequest = { overwrite: request.overwrite, sync: request.sync };
  try {
    const whole = await runner.run('finish-commit', { ref: site.ref, part, request: commit });
    if (!whole) return 'none';
  } catch (thrown) {
    // A flush that failed must not "succeed" when it is tried again: the record that vouched for the target goes.
    const lines = encodeRecord({ type: 'void' });
    await runner.run('checkpoint', { journal, position: content.goodBytes, lines, sync: request.sync });
    throw thrown;
  }
  // A source without a version may have changed since: nothing vouches for the target.
  return isSameSource(content, source) && source.version.strength !== 'none' ? 'this' : 'other';
}

function wholeAlready({ source, site, journal }: Found, whole: JournalContent): OpenedJob {
  const { size, chunkBytes, algorithm } = whole.header;
  return { source, site, journal, grid: new ChunkGrid(size, chunkBytes), algorithm, whole, damagedRecords: 0 };
}

function raceLost(request: OpenRequest): never {
  throw new TransferError('E_LOCKED', `another process keeps finishing copies of ${request.target.name}`, {
    hint: 'See what else copies to this target; nothing was changed.',
  });
}

async function openWork(request: OpenRequest, found: Found, runner: ChunkRunner, clock: Clock): Promise<OpenedJob> {
  const { source, site, content } = found;
  if (site.existing && !request.overwrite) throw targetExists(site, request);
  if (request.discard) await runner.run('discard-partial', { ref: site.ref });
  const partial = request.discard ? undefined : site.partial;
  if (partial && !content && site.publish === 'atomic') throw foreignPart(site);
  if (content && (partial || site.publish === 'in-place')) {
    assertSameSource(content, source, site);
    return resume(request, { ...found, content }, runner);
  }
  const job = await begin(request, found, runner, clock);
  return { ...job, partialLost: content !== undefined };
}

async function begin(request: OpenRequest, found: Found, runner: ChunkRunner, clock: Clock): Promise<OpenedJob> {
  const { source, site, journal } = found;
  const { algorithm, sync } = request;
  const chunkBytes = chooseChunkBytes(request, source.size, site);
  const grid = new ChunkGrid(source.size, chunkBytes);
  const sourceMap = await runner.run('map-source', { ref: source.ref, chunkBytes });
  const facts = { sourceMap, zeroed: site.publish === 'atomic', endsLast: site.publish === 'in-place' };
  const plan = new Plan(grid, facts);
  assertSpace(plan, source, site);
  const position = await runner.run('begin-journal', {
    ref: journal,
    header: {
      size: source.size,
      chunkBytes,
      algorithm,
      sourceVersion: source.version,
      sourceName: source.name,
      targetName: site.name,
      createdAt: clock.wallMs(),
    },
    sync,
  });
  const prepared = await runner.run('prepare-target', {
    ref: site.ref,
    request: { size: source.size, partial: 'create', sync },
  });
  const work = { prepared, plan, claims: emptyClaims(grid, algorithm), position, resumed: false, unsynced: false };
  return { source, site, journal, grid, algorithm, work, damagedRecords: 0 };
}

/** The journal's chunk size and algorithm win over the options: they are what its claims speak of. */
async function resume(
  request: OpenRequest,
  found: Found & { readonly content: JournalContent },
  runner: ChunkRunner,
): Promise<OpenedJob> {
  const { source, site, journal, content } = found;
  const { algorithm, chunkBytes, size } = content.header;
  const grid = new ChunkGrid(size, chunkBytes);
  const committed = content.news.committing?.part;
  const prepared = await runner.run('prepare-target', {
    ref: site.ref,
    request: { size, partial: 'reopen', sync: request.sync, ...(committed && { committed }) },
  });
  try {
    const sourceMap = await runner.run('map-source', { ref: source.ref, chunkBytes });
    const targetMap = await runner.run('map-target', { ref: prepared.ref, size, chunkBytes });
    const claims = content.claims;
    const facts = { sourceMap, targetMap, claims: claims.kinds, zeroed: false, endsLast: site.publish === 'in-place' };
    const plan = new Plan(grid, facts);
    assertSpace(plan, source, site);
    const { goodBytes, header } = content;
    const takeUp = { ref: journal, goodBytes, header, sync: request.sync };
    const position = await runner.run('take-up-journal', takeUp);
    const work = { prepared, plan, claims, position, resumed: true, unsynced: content.news.unsynced };
    return { source, site, journal, grid, algorithm, work, damagedRecords: content.news.damagedRecords };
  } catch (thrown) {
    await runner.run('close-target', { ref: prepared.ref });
    throw thrown;
  }
}

/**
 * Small enough that one chunk takes no more than two seconds at the limit, large enough for the target and for our
 * memory.
 */
function chooseChunkBytes(request: OpenRequest, size: number, site: TargetSite): number {
  const { chunkBytesMin, chunkBytesMax, chunkCountMax } = site.limits;
  const rate = request.rateBytesPerSecond;
  const paced = rate > 0 ? Math.max(64 * KiB, 2 ** Math.floor(Math.log2(rate * 2))) : CHUNK_BYTES_DEFAULT;
  let chunkBytes = request.chunkBytes ?? Math.min(CHUNK_BYTES_DEFAULT, paced);
  const countMax = Math.min(chunkCountMax, CHUNK_COUNT_MAX);
  if (request.chunkBytes === undefined) while (size / chunkBytes > countMax) chunkBytes *= 2;
  if (chunkBytes >= chunkBytesMin && chunkBytes <= chunkBytesMax && size / chunkBytes <= countMax) return chunkBytes;
  const bounds = `${formatBytes(chunkBytesMin)} to ${formatBytes(chunkBytesMax)} and at most ${countMax} chunks`;
  throw new TransferError(
    'E_USAGE',
    `chunks of ${formatBytes(chunkBytes)} do not suit this copy: it allows ${bounds}`,
    {
      hint: 'Leave --chunk-size out, and a fitting one is chosen.',
    },
  );
}

function assertApart(source: SourceInfo, site: TargetSite): void {
  const { identity } = source;
  const same = [site.existing, site.partial?.identity].some(
    (other) => identity && other && identity.device === other.device && identity.inode === other.inode,
  );
  if (!same) return;
  throw new TransferError('E_USAGE', `${site.name} is the source itself`, {
    hint: 'Choose another target. Nothing was changed.',
  });
}

function targetExists(site: TargetSite, { manifest }: OpenRequest): TransferError {
  const device = site.publish === 'in-place';
  const only = manifest === undefined ? '' : '\nA copy to null: writes the manifest of a file that is there already.';
  return new TransferError('E_TARGET_EXISTS', `${site.name} exists already and was left as it is`, {
    hint: `${device ? ON_DEVICE : REPLACE}${only}`,
  });
}

function foreignPart(site: TargetSite): TransferError {
  return new TransferError('E_PART_FOREIGN', `a partial copy of ${site.name} exists, but its journal is gone`, {
    hint: 'It was left as it is. --discard throws it away and starts afresh.',
  });
}

function isSameSource({ header }: JournalContent, { version, size }: SourceInfo): boolean {
  const { sourceVersion } = header;
  return sourceVersion.strength === version.strength && sourceVersion.value === version.value && header.size === size;
}

function assertSameSource(content: JournalContent, source: SourceInfo, site: TargetSite): void {
  if (isSameSource(content, source)) return;
  const { header } = content;
  const kept = `the partial copy of ${site.name} is of ${header.sourceName} (${header.sourceVersion.value})`;
  throw new TransferError('E_PART_OTHER_SOURCE', `${kept}; now there is ${source.name} (${source.version.value})`, {
    hint: 'The source changed or is another one; nothing was mixed. --discard throws the partial away.',
  });
}

/** Counts what the partial holds already, and no hole of the source: better to begin than to refuse wrongly. */
function assertSpace(plan: Plan, source: SourceInfo, site: TargetSite): void {
  if (site.freeBytes === undefined) return;
  let [toCopy, claimed] = [0, 0];
  plan.forEach((chunk, work) => {
    const { length } = plan.grid.range(chunk);
    if (work === 'prove') claimed += length;
    if (work === 'copy') toCopy += length;
  });
  const allocated = source.allocatedBytes ?? Number.POSITIVE_INFINITY;
  const spare = Math.max(0, (site.partial?.allocatedBytes ?? 0) - claimed);
  const needed = Math.min(toCopy, allocated) - spare;
  if (needed <= site.freeBytes) return;
  const message = `${site.name} needs ${formatBytes(needed)} more; ${formatBytes(site.freeBytes)} are free`;
  throw new TransferError('E_NO_SPACE', message, {
    hint: 'Nothing was lost. Free some space, then run the same command again.',
  });
}
