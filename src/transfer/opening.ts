/**
 * How a job begins: look at both ends, take the journal's lock, and find out what is there. The outcome is one of
 * three: the target is whole already, there is a partial of this very source to go on with, or there is nothing and the
 * job begins afresh.
 */
import { CHUNK_BYTES_DEFAULT, ChunkGrid } from '../core/chunk.js';
import type { Clock } from '../core/clock.js';
import type { Algorithm } from '../core/digest.js';
import type { Location } from '../core/endpoint.js';
import { type ErrorCode, TransferError } from '../core/errors.js';
import type { CommitRequest, PreparedTarget, TargetLayout, TargetSite } from '../core/target.js';
import type { JournalContent, JournalRef } from '../journal/journal.js';
import { type Claims, emptyClaims, encodeRecord, forgetZeroes } from '../journal/journal.js';
import type { ChecksumRequest } from './checksum.js';
import { type Cloning, chooseCloning } from './choose-cloning.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { SharedControl } from './control-block.js';
import { type GateReport, gateSource } from './gate.js';
import { layoutOnRecord } from './layout-on-record.js';
import { Plan, type PlanFacts } from './plan.js';
import { assertAdopts, assertApart, assertReadable, foreignPart, raceLost, targetExists } from './refusals.js';
import type { SourceInfo } from './requests.js';
import { openSource, type RetryRules } from './retry.js';
import { assertSameSource, isSameSource, mayHaveChanged } from './same-source.js';
import { assertSpace, chooseChunkBytes } from './sizing.js';

/** A thread takes as long to start as another one needs for about so many chunks. */
const CHUNKS_FOR_ALL_THREADS = 8;

export interface OpenRequest {
  readonly source: Location;
  readonly target: Location;
  readonly algorithm: Algorithm;
  readonly chunkBytes?: number | undefined;
  readonly rateBytesPerSecond: number;
  readonly overwrite: boolean;
  readonly discard: boolean;
  readonly sync: boolean;
  /** Read the target past the cache before it gets its name, and repair what differs. */
  readonly readBack?: boolean | undefined;
  /** Read the finished copy once more, in order, for its checksum. */
  readonly checksum?: ChecksumRequest | undefined;
  /** Where a manifest of the target is to be written. */
  readonly manifest?: string | undefined;
  /** Share the blocks of the source. Absent: auto, where that can be. */
  readonly reflink?: 'auto' | 'always' | 'never' | undefined;
  /** Take over those chunks of the target that is to be replaced which are the same. */
  readonly delta?: boolean | undefined;
  /** Look at what is copied, and at what was written: damage to a disk image ends the copy. */
  readonly check?: boolean | undefined;
}

export interface OpenedJob {
  readonly source: SourceInfo;
  /** Absent: there was nothing to say of it. */
  readonly gate?: GateReport | undefined;
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
  /** The source may have changed since the claims were made: a proof reads it too. */
  readonly alsoSource: boolean;
  /** Blocks of the source are to be shared; absent: they cannot be, or are not to be. */
  readonly clone?: 'auto' | 'always' | undefined;
}

/** `control`: of the job, which may be stopped before it is open. */
export async function openJob(
  request: OpenRequest,
  runner: ChunkRunner,
  rules: RetryRules,
  control: SharedControl,
): Promise<OpenedJob> {
  const source = await openSource(runner, request.source, rules);
  const { clock } = rules;
  if (source.size > CHUNK_BYTES_DEFAULT * CHUNKS_FOR_ALL_THREADS) runner.startAll?.();
  try {
    const gate = request.check ? await gateSource(source, runner, { rules, control }) : undefined;
    const job = await openTarget(request, source, runner, clock);
    // An earlier run had put another source under this name: that is over now, and this job looks again.
    return { ...(job ?? (await openTarget(request, source, runner, clock)) ?? raceLost(request)), gate };
  } catch (thrown) {
    await runner.run('close-source', { ref: source.ref });
    throw thrown;
  }
}

/** What tells of the way to a server, and nothing of what it holds. */
const SAYS_NOTHING: readonly ErrorCode[] = ['E_NETWORK', 'E_TIMEOUT', 'E_UNAVAILABLE', 'E_PROTOCOL', 'E_AUTH'];

interface Found {
  readonly source: SourceInfo;
  readonly site: TargetSite;
  readonly journal: JournalRef;
  readonly content: JournalContent | undefined;
  /** Of the partial data that is to be discarded, where only the journal knows of it. */
  readonly discards: TargetLayout | undefined;
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
  const peek = () => runner.run('peek-journal', { path: before.journalPath });
  const discards = request.discard && before.partialOnRecord ? await layoutOnRecord(peek) : undefined;
  const opened = await runner.run('open-journal', { path: before.journalPath, forget: request.discard });
  const { ref: journal, content, created } = opened;
  try {
    // Another run may have finished between the first look and the lock.
    const site = await runner.run('locate-target', locate);
    const found = { source, site, journal, content, discards };
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
    if (SAYS_NOTHING.includes(TransferError.from(thrown).code)) throw thrown;
    // A flush that failed must not "succeed" when it is tried again: the record that vouched for the target goes.
    const lines = encodeRecord({ type: 'void' });
    await runner.run('checkpoint', { journal, position: content.goodBytes, lines, sync: request.sync });
    throw thrown;
  }
  // Where the source may have changed since, nothing vouches for the target.
  return isSameSource(content, source) && !mayHaveChanged(content, source) ? 'this' : 'other';
}

function wholeAlready({ source, site, journal }: Found, whole: JournalContent): OpenedJob {
  const { size, chunkBytes, algorithm } = whole.header;
  return { source, site, journal, grid: new ChunkGrid(size, chunkBytes), algorithm, whole, damagedRecords: 0 };
}

async function openWork(request: OpenRequest, found: Found, runner: ChunkRunner, clock: Clock): Promise<OpenedJob> {
  const { source, site, content } = found;
  if (site.existing && !request.overwrite) throw targetExists(site, request);
  assertReadable(request, site);
  assertAdopts(request, site);
  if (request.discard) await runner.run('discard-partial', { ref: site.ref, layout: found.discards });
  const partial = request.discard ? undefined : site.partial;
  if (partial && !content && site.publish === 'atomic') throw foreignPart(site);
  const cloning = await chooseCloning(request, found, runner);
  if (content && (partial || site.publish === 'in-place' || site.partialOnRecord)) {
    assertSameSource(content, source, site);
    const job = await resume(request, { ...found, content }, cloning, runner).catch(unlessPartLost);
    if (job) return job;
  }
  const job = await begin(request, found, cloning, { runner, clock });
  return { ...job, partialLost: content !== undefined };
}

/** What was done is gone, so that there is nothing to go on with. */
function unlessPartLost(thrown: unknown): undefined {
  if (!(thrown instanceof TransferError && thrown.code === 'E_PART_LOST')) throw thrown;
}

async function begin(
  request: OpenRequest,
  found: Found,
  { clone, spaceless }: Cloning,
  { runner, clock }: { readonly runner: ChunkRunner; readonly clock: Clock },
): Promise<OpenedJob> {
  const { source, site, journal } = found;
  const { algorithm, sync } = request;
  const chunkBytes = chooseChunkBytes(request, source, site);
  const grid = new ChunkGrid(source.size, chunkBytes);
  const sourceMap = await runner.run('map-source', { ref: source.ref, chunkBytes });
  const facts = { ...factsOf(source, site), sourceMap, zeroed: site.publish === 'atomic' && !site.wholeChunks };
  const plan = new Plan(grid, facts);
  if (!spaceless) assertSpace(plan, source, site);
  const laysOut = site.laysOut || site.partialOnRecord;
  const layOut = { source: source.ref, target: site.ref, chunkBytes };
  const layout = laysOut && (await runner.run('lay-out-target', layOut));
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
      ...(layout && { layout }),
    },
    sync,
  });
  const prepared = await runner.run('prepare-target', {
    ref: site.ref,
    request: { size: source.size, partial: 'create', sync, ...(layout && { layout }) },
  });
  const claims = emptyClaims(grid, algorithm);
  const work = { prepared, plan, claims, position, resumed: false, unsynced: false, alsoSource: false, clone };
  return { source, site, journal, grid, algorithm, work, damagedRecords: 0 };
}

function factsOf(
  { of }: SourceInfo,
  { publish, wholeChunks }: TargetSite,
): Pick<PlanFacts, 'zeroInData' | 'endsLast' | 'wholeChunks'> {
  return { zeroInData: of === 'content', endsLast: publish === 'in-place', wholeChunks };
}

/** The journal's chunk size and algorithm win over the options: they are what its claims speak of. */
async function resume(
  request: OpenRequest,
  found: Found & { readonly content: JournalContent },
  { clone, spaceless }: Cloning,
  runner: ChunkRunner,
): Promise<OpenedJob> {
  const { source, site, journal, content } = found;
  const { algorithm, chunkBytes, size, layout } = content.header;
  const grid = new ChunkGrid(size, chunkBytes);
  const committed = content.news.committing?.part;
  const prepared = await runner.run('prepare-target', {
    ref: site.ref,
    request: {
      ...{ size, partial: 'reopen', sync: request.sync },
      ...(committed && { committed }),
      ...(layout && { layout }),
    },
  });
  try {
    const sourceMap = await runner.run('map-source', { ref: source.ref, chunkBytes });
    const targetMap = await runner.run('map-target', { ref: prepared.ref, size, chunkBytes });
    const { claims, news } = content;
    const alsoSource = mayHaveChanged(content, source);
    if (alsoSource) forgetZeroes(claims);
    const facts = { ...factsOf(source, site), sourceMap, targetMap, claims: claims.kinds, zeroed: false };
    const plan = new Plan(grid, facts);
    if (!spaceless) assertSpace(plan, source, site);
    const takeUp = { ref: journal, goodBytes: content.goodBytes, header: content.header, sync: request.sync };
    const position = await runner.run('take-up-journal', takeUp);
    const work = { prepared, plan, claims, position, resumed: true, unsynced: news.unsynced, alsoSource, clone };
    return { source, site, journal, grid, algorithm, work, damagedRecords: news.damagedRecords };
  } catch (thrown) {
    await runner.run('close-target', { ref: prepared.ref });
    throw thrown;
  }
}
