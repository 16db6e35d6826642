/**
 * Carries out the work that a runner was asked for: the table from names to deeds, and what one thread keeps between
 * them (the endpoints that it is attached to, its buffers, its hashers).
 */
import type { ByteRange } from '../core/chunk.js';
import type { Clock } from '../core/clock.js';
import { loadHasher } from '../core/digest.js';
import type { EndpointRef, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { NEVER } from '../core/stop.js';
import type { Target } from '../core/target.js';
import { ability, type Registry, schemeOf } from '../endpoint/registry.js';
import type { Journals } from '../journal/journal.js';
import type { TreeJournals } from '../journal/tree-journal.js';
import { giveWay } from '../platform/give-way.js';
import { type AttachedJob, AttachedJobs } from './attached-jobs.js';
import { BlockBuffers } from './block-buffers.js';
import { hashWhole } from './checksum.js';
import { compareChunk } from './compare-chunk.js';
import { ControlBlock } from './control-block.js';
import { runChunk } from './copy-chunk.js';
import type { DiskWork } from './disk/tasks.js';
import { mapExtents } from './extent-map.js';
import type { Gate } from './gate.js';
import { type ChunkHost, hashRange } from './hash-range.js';
import { layoutOnRecord } from './layout-on-record.js';
import type { MeasureWork } from './measure/tasks.js';
import { Pace } from './pace.js';
import type { SourceInfo, Work, WorkName } from './requests.js';
import type { TreeParts, TreeWork } from './tree-deeds.js';
import { verifyFiles } from './verify-files.js';

export interface PerformerParts {
  readonly registry: Registry;
  readonly journals: Journals;
  /** Loaded when folders are copied, and not for a single file. */
  readonly treeJournals?: () => Promise<TreeJournals>;
  /** Absent: whatever it is, it is copied. */
  readonly gate?: () => Promise<Gate>;
  readonly clock: Clock;
}

type Deeds<Names extends WorkName> = { [N in Names]: (request: Work[N]['in']) => Promise<Work[N]['out']> };

const whole = (size: number): ByteRange => ({ offset: 0, length: size });

export class Performer {
  readonly #parts: PerformerParts;
  readonly #jobs = new AttachedJobs();
  readonly #buffers = new BlockBuffers();
  #trees: Promise<Deeds<TreeWork>> | undefined;

  constructor(parts: PerformerParts) {
    this.#parts = parts;
  }

  /** @throws TransferError whatever goes wrong */
  async perform<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    try {
      const deeds = Object.hasOwn(this.#deeds, name) ? this.#deeds : await this.#treeDeeds();
      return await (deeds as Deeds<WorkName>)[name](request);
    } catch (thrown) {
      throw TransferError.from(thrown);
    }
  }

  readonly #deeds: Deeds<Exclude<WorkName, TreeWork>> = {
    'open-source': async ({ location }) => {
      const scheme = await schemeOf(this.#parts.registry, location.scheme);
      return sourceInfo(await ability(scheme, location.name, 'openSource')(location));
    },
    'open-committed': async ({ ref, layout }) =>
      sourceInfo(await (await this.#ability(ref, 'openCommittedSource'))(ref, layout)),
    'gate-source': async ({ ref, control: shared }) => {
      const control = ControlBlock.attach(shared);
      return (await this.#parts.gate?.())?.source(await this.#source(ref), () => control.stopped);
    },
    'gate-target': async ({ ref, size, control: shared }) => {
      const control = ControlBlock.attach(shared);
      return (await this.#parts.gate?.())?.target(await this.#target(ref), size, () => control.stopped);
    },
    'map-source': async ({ ref, chunkBytes }) => {
      const source = await this.#source(ref);
      return source.extents && mapExtents(source.extents(whole(source.size), NEVER), whole(source.size), chunkBytes);
    },
    'source-attributes': async ({ ref }) => (await this.#source(ref)).attributes?.(),
    'check-source': async ({ ref }) => (await this.#source(ref)).assertUnchanged(),
    'close-source': async ({ ref }) => (await this.#source(ref)).close(),
    'locate-target': async ({ location, sourceName }) => {
      const scheme = await schemeOf(this.#parts.registry, location.scheme);
      return ability(scheme, location.name, 'locateTarget')(location, sourceName);
    },
    'probe-clone': async ({ source, target }) => {
      const scheme = await schemeOf(this.#parts.registry, target.scheme);
      return scheme.probeClone?.(source, target) ?? { refused: 'the target is no local file' };
    },
    'lay-out-target': async ({ source, target, chunkBytes }) => {
      const { layOutTarget } = await schemeOf(this.#parts.registry, target.scheme);
      return layOutTarget?.(await this.#source(source), target, chunkBytes);
    },
    'prepare-target': async ({ ref, request }) => (await this.#ability(ref, 'prepareTarget'))(ref, request),
    'map-target': async ({ ref, size, chunkBytes }) => {
      const target = await this.#target(ref);
      return target.extents && mapExtents(target.extents(whole(size), NEVER), whole(size), chunkBytes);
    },
    'commit-target': async ({ ref, request }) => (await this.#target(ref)).commit(request),
    'flush-target': async ({ ref }) => (await this.#target(ref)).flush(),
    'reads-past-cache': async ({ ref }) => {
      const target = await this.#target(ref);
      const readBack = target.openReadBack?.({ offset: 0, length: 0 }, NEVER);
      readBack?.reader.close();
      await target.detach?.();
      return readBack?.pastCache ?? false;
    },
    'complete-target': async ({ ref, request }) => (await this.#target(ref)).complete?.(request),
    'mark-target': async ({ ref, times }) => (await this.#target(ref)).mark(times),
    'finish-commit': async ({ ref, part, request }) => {
      const scheme = await schemeOf(this.#parts.registry, ref.scheme);
      return (await scheme.finishCommit?.(ref, part, request)) ?? false;
    },
    'discard-partial': async ({ ref, layout }) => (await this.#ability(ref, 'discardPartial'))(ref, layout),
    leftovers: async ({ location, abortBeforeMs }) => {
      const scheme = await schemeOf(this.#parts.registry, location.scheme);
      const layoutAt = (path: string) => layoutOnRecord(() => this.#parts.journals.peek(path));
      return ability(scheme, location.name, 'leftovers')(location, abortBeforeMs, layoutAt);
    },
    'close-target': async ({ ref }) => (await this.#target(ref)).close(),
    'open-journal': async ({ path, forget }) => this.#parts.journals.open(path, forget),
    'peek-journal': async ({ path }) => this.#parts.journals.peek(path),
    'begin-journal': async ({ ref, header, sync }) => this.#parts.journals.begin(ref, header, sync),
    'take-up-journal': async ({ ref, goodBytes, header, sync }) =>
      this.#parts.journals.takeUp(ref, { goodBytes, header }, sync),
    checkpoint: async ({ target, journal, position, lines, sync, moreFollows }) => {
      // Durable first, recorded second (crash contract, rule 3).
      if (target && sync) await (await this.#target(target)).flush();
      return { position: this.#parts.journals.append(journal, position, lines, sync && !moreFollows) };
    },
    'drop-journal': async ({ ref, sync }) => this.#parts.journals.drop(ref, sync),
    'close-journal': async ({ ref }) => this.#parts.journals.close(ref),
    checksum: async (task) => {
      const job = this.#jobs.attach(task.control);
      const host = await this.#host(job, task);
      if (task.end === 'part')
        return hashWhole(task, await job.end('target', task.ref, (ref) => this.#target(ref)), host);
      return hashWhole(task, await job.end('committed', task.ref, (ref) => this.#source(ref)), host);
    },
    chunk: async (task) => {
      if (task.target.background) giveWay();
      const job = this.#jobs.attach(task.control);
      const source = await job.end('source', task.source, (ref) => this.#source(ref));
      const target = await job.end('target', task.target, (ref) => this.#target(ref));
      return runChunk(task, source, target, await this.#host(job, task));
    },
    compare: async (task) => {
      const job = this.#jobs.attach(task.control);
      const one = await job.end('one', task.one, (ref) => this.#source(ref));
      const other = await job.end('other', task.other, (ref) => this.#source(ref));
      return compareChunk(task.range, { one, other, blockBytes: task.blockBytes }, await this.#host(job, task));
    },
    hash: async (task) => {
      const job = this.#jobs.attach(task.control);
      const host = await this.#host(job, task);
      const source = await job.end('source', task.source, (ref) => this.#source(ref));
      const about = { length: task.range.length, blockBytes: task.blockBytes, of: 'source' } as const;
      return (await hashRange(source.openChunk(task.range, host.signal), about, host)).digest;
    },
    'verify-files': async (task) => {
      const job = this.#jobs.attach(task.control);
      const open = ability(await schemeOf(this.#parts.registry, 'file'), task.folder, 'openSource');
      return verifyFiles(task, { open, host: (algorithm) => this.#host(job, { algorithm }) });
    },
    'describe-disk': (request) => this.#disk('describe-disk', request),
    'map-disk': (request) => this.#disk('map-disk', request),
    'check-disk': (request) => this.#disk('check-disk', request),
    'set-disk-parent': (request) => this.#disk('set-disk-parent', request),
    'plan-merge': (request) => this.#disk('plan-merge', request),
    'merge-disk': (request) => this.#disk('merge-disk', request),
    'look-at-place': (request) => this.#measure('look-at-place', request),
    'open-scratch': (request) => this.#measure('open-scratch', request),
    'fill-scratch': (request) => this.#measure('fill-scratch', request),
    'clear-scratch': (request) => this.#measure('clear-scratch', request),
    measure: (request) => this.#measure('measure', request),
  };

  async #treeDeeds(): Promise<Deeds<TreeWork>> {
    this.#trees ??= loadTreeDeeds(this.#parts, (task) => this.#host(this.#jobs.attach(task.control), task));
    return this.#trees;
  }

  /** The benchmark's deeds are loaded when they are asked for: a copy starts without them. */
  async #measure<N extends keyof MeasureWork>(name: N, request: MeasureWork[N]['in']): Promise<MeasureWork[N]['out']> {
    const { measureDeeds } = await import('./measure/measurer.js');
    const deeds = measureDeeds(this.#parts.clock, (shared) => {
      const job = this.#jobs.attach(shared);
      const source = (ref: EndpointRef) => job.end('source', ref, () => this.#source(ref));
      return { control: job.control, signal: job.controller.signal, source };
    });
    return deeds[name](request);
  }

  async #disk<N extends keyof DiskWork>(name: N, request: DiskWork[N]['in']): Promise<DiskWork[N]['out']> {
    const { diskDeeds } = await import('./disk/deeds.js');
    const deeds = diskDeeds(this.#parts.registry, (shared) =>
      this.#host(this.#jobs.attach(shared), { algorithm: 'xxh64' }),
    );
    return deeds[name](request);
  }

  async #ability<
    K extends 'openCommittedSource' | 'prepareTarget' | 'attachTarget' | 'attachSource' | 'discardPartial',
  >(ref: EndpointRef, key: K) {
    return ability(await schemeOf(this.#parts.registry, ref.scheme), `${ref.scheme}://`, key);
  }

  async #source(ref: EndpointRef): Promise<Source> {
    return (await this.#ability(ref, 'attachSource'))(ref);
  }

  async #target(ref: EndpointRef): Promise<Target> {
    return (await this.#ability(ref, 'attachTarget'))(ref);
  }

  async #host(job: AttachedJob, task: { readonly algorithm: 'xxh64' | 'sha256' }): Promise<ChunkHost> {
    const { clock } = this.#parts;
    const newHasher = await loadHasher(task.algorithm);
    const { control, controller } = job;
    return {
      control,
      clock,
      newHasher,
      buffers: this.#buffers,
      signal: controller.signal,
      pace: new Pace(control.pace, clock),
    };
  }
}

async function loadTreeDeeds(
  { registry, treeJournals }: PerformerParts,
  host: TreeParts['host'],
): Promise<Deeds<TreeWork>> {
  const [{ treeDeeds }, journals] = [await import('./tree-deeds.js'), await treeJournals?.()];
  if (!journals) throw new TransferError('E_BUG', 'no journals for trees were given');
  return treeDeeds({ registry, treeJournals: journals, host });
}

/** What crosses the thread of an opened source; this thread lets go of it. */
async function sourceInfo(source: Source): Promise<SourceInfo> {
  const { ref, name, fileName, size, sizeIs, version, readsPerWorker } = source;
  const { of, mode, modifiedNs, identity, alsoReads, allocatedBytes, oneChunk, sha256 } = source;
  await source.detach?.();
  return {
    ...{ ref, name, fileName, size, sizeIs, version, readsPerWorker },
    ...(of && { of }),
    ...(mode !== undefined && { mode }),
    ...(modifiedNs !== undefined && { modifiedNs }),
    ...(identity && { identity }),
    ...(alsoReads && { alsoReads }),
    ...(allocatedBytes !== undefined && { allocatedBytes }),
    ...(oneChunk && { oneChunk }),
    ...(sha256 !== undefined && { sha256 }),
  };
}
