/**
 * Carries out the work that a runner was asked for: the table from names to deeds, and what one thread keeps between
 * them (the endpoints that it is attached to, its buffers, its hashers).
 */
import { ChunkGrid } from '../core/chunk.js';
import type { Clock } from '../core/clock.js';
import { loadHasher } from '../core/digest.js';
import type { EndpointRef, Extent, Source, Target } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { ability, type Registry, schemeOf } from '../endpoint/registry.js';
import type { Journals } from '../journal/journal.js';
import { BlockBuffers } from './block-buffers.js';
import { hashWhole } from './checksum.js';
import { ControlBlock } from './control-block.js';
import { compareChunk, runChunk } from './copy-chunk.js';
import type { ChunkHost } from './hash-range.js';
import { Pace } from './pace.js';
import { MAP, type SourceInfo, type Work, type WorkName } from './requests.js';

export interface PerformerParts {
  readonly registry: Registry;
  readonly journals: Journals;
  readonly clock: Clock;
}

type Deeds = { [N in WorkName]: (request: Work[N]['in']) => Promise<Work[N]['out']> };

/** What this thread holds of one job. */
interface Attachments {
  readonly control: ControlBlock;
  readonly controller: AbortController;
  readonly ends: Map<string, Source | Target>;
}

const NEVER = new AbortController().signal;

export class Performer {
  readonly #parts: PerformerParts;
  readonly #jobs = new Map<number, Attachments>();
  readonly #buffers = new BlockBuffers();

  constructor(parts: PerformerParts) {
    this.#parts = parts;
  }

  /** @throws TransferError whatever goes wrong */
  async perform<N extends WorkName>(name: N, request: Work[N]['in']): Promise<Work[N]['out']> {
    try {
      return await this.#deeds[name](request);
    } catch (thrown) {
      throw TransferError.from(thrown);
    }
  }

  readonly #deeds: Deeds = {
    'open-source': async ({ location }) => {
      const scheme = await schemeOf(this.#parts.registry, location.scheme);
      return sourceInfo(await ability(scheme, location.name, 'openSource')(location));
    },
    'open-committed': async ({ ref }) => sourceInfo(await (await this.#ability(ref, 'openCommittedSource'))(ref)),
    'map-source': async ({ ref, chunkBytes }) => {
      const source = await this.#source(ref);
      return (
        source.extents && mapExtents(source.extents({ offset: 0, length: source.size }, NEVER), source.size, chunkBytes)
      );
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
    'prepare-target': async ({ ref, request }) => (await this.#ability(ref, 'prepareTarget'))(ref, request),
    'map-target': async ({ ref, size, chunkBytes }) => {
      const target = await this.#target(ref);
      return target.extents && mapExtents(target.extents({ offset: 0, length: size }, NEVER), size, chunkBytes);
    },
    'commit-target': async ({ ref, request }) => (await this.#target(ref)).commit(request),
    'mark-target': async ({ ref, times }) => (await this.#target(ref)).mark(times),
    'finish-commit': async ({ ref, part, request }) => {
      const scheme = await schemeOf(this.#parts.registry, ref.scheme);
      return (await scheme.finishCommit?.(ref, part, request)) ?? false;
    },
    'discard-partial': async ({ ref }) => (await this.#ability(ref, 'discardPartial'))(ref),
    'close-target': async ({ ref }) => (await this.#target(ref)).close(),
    'open-journal': async ({ path, forget }) => this.#parts.journals.open(path, forget),
    'peek-journal': async ({ path }) => this.#parts.journals.peek(path),
    'begin-journal': async ({ ref, header, sync }) => this.#parts.journals.begin(ref, header, sync),
    'take-up-journal': async ({ ref, goodBytes, header, sync }) =>
      this.#parts.journals.takeUp(ref, { goodBytes, header }, sync),
    checkpoint: async ({ target, journal, position, lines, sync }) => {
      // Durable first, recorded second (crash contract, rule 3).
      if (target && sync) await (await this.#target(target)).flush();
      return { position: this.#parts.journals.append(journal, position, lines, sync) };
    },
    'drop-journal': async ({ ref, sync }) => this.#parts.journals.drop(ref, sync),
    'close-journal': async ({ ref }) => this.#parts.journals.close(ref),
    checksum: async (task) => {
      const job = this.#attach(task.control);
      const host = await this.#host(job, task);
      if (task.end === 'part')
        return hashWhole(task, await this.#kept(job, 'target', task.ref, (ref) => this.#target(ref)), host);
      return hashWhole(task, await this.#kept(job, 'committed', task.ref, (ref) => this.#source(ref)), host);
    },
    chunk: async (task) => {
      const job = this.#attach(task.control);
      const source = await this.#kept(job, 'source', task.source, (ref) => this.#source(ref));
      const target = await this.#kept(job, 'target', task.target, (ref) => this.#target(ref));
      return runChunk(task, source, target, await this.#host(job, task));
    },
    compare: async (task) => {
      const job = this.#attach(task.control);
      const one = await this.#kept(job, 'one', task.one, (ref) => this.#source(ref));
      const other = await this.#kept(job, 'other', task.other, (ref) => this.#source(ref));
      return compareChunk(task.range, { one, other, blockBytes: task.blockBytes }, await this.#host(job, task));
    },
  };

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

  async #kept<E extends Source | Target>(
    job: Attachments,
    role: string,
    ref: EndpointRef,
    attach: (ref: EndpointRef) => Promise<E>,
  ): Promise<E> {
    const kept = job.ends.get(role) as E | undefined;
    if (kept) return kept;
    const end = await attach(ref);
    // Another task of this thread may have attached meanwhile; one end for each role is enough.
    const first = (job.ends.get(role) as E | undefined) ?? end;
    job.ends.set(role, first);
    return first;
  }

  #attach(shared: SharedArrayBuffer): Attachments {
    const control = ControlBlock.attach(shared);
    const known = this.#jobs.get(control.job);
    if (known) return known;
    const job: Attachments = { control, controller: new AbortController(), ends: new Map() };
    this.#jobs.set(control.job, job);
    control.attachWorker();
    void control.untilStopped().then(() => job.controller.abort());
    void control.untilClosed().then(() => this.#detach(job));
    return job;
  }

  async #detach(job: Attachments): Promise<void> {
    this.#jobs.delete(job.control.job);
    for (const end of job.ends.values()) await end.detach?.();
    job.control.detachWorker();
  }

  async #host(job: Attachments, task: { readonly algorithm: 'xxh64' | 'sha256' }): Promise<ChunkHost> {
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

/** What crosses the thread of an opened source; this thread lets go of it. */
async function sourceInfo(source: Source): Promise<SourceInfo> {
  const { ref, name, fileName, size, sizeIs, version, readsPerWorker } = source;
  const { mode, modifiedNs, identity, allocatedBytes } = source;
  await source.detach?.();
  return {
    ...{ ref, name, fileName, size, sizeIs, version, readsPerWorker },
    ...(mode !== undefined && { mode }),
    ...(modifiedNs !== undefined && { modifiedNs }),
    ...(identity && { identity }),
    ...(allocatedBytes !== undefined && { allocatedBytes }),
  };
}

/** What each chunk is made of; extents themselves never leave the thread, there can be millions. */
async function mapExtents(
  extents: Iterable<Extent> | AsyncIterable<Extent>,
  size: number,
  chunkBytes: number,
): Promise<Uint8Array> {
  const grid = new ChunkGrid(size, chunkBytes);
  const [hasData, hasZero] = [new Uint8Array(grid.count), new Uint8Array(grid.count)];
  for await (const { kind, offset, length } of extents) {
    if (length === 0) continue;
    (kind === 'data' ? hasData : hasZero).fill(1, grid.at(offset), grid.at(offset + length - 1) + 1);
  }
  // What no extent speaks of counts as data: that is only slower, never wrong.
  return hasData.map((data, chunk) => (!hasZero[chunk] ? MAP.data : data ? MAP.mixed : MAP.zero));
}
