/**
 * The safety gate of a copy: somebody who knows what the bytes mean looks at them before the copy starts, and at what
 * was written before it gets its name. The engine itself knows nothing of disks; what knows is plugged in.
 */
import { CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import type { Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { Target } from '../core/target.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { SharedControl } from './control-block.js';
import type { SourceInfo } from './requests.js';
import { type RetryRules, withRetry } from './retry.js';

/** Asked at every read: a large image takes a while. */
type Stopped = () => boolean;

export interface Gate {
  /** Undefined: it is nothing that there is anything to say of. */
  source(source: Source, stopped: Stopped): Promise<GateReport | undefined>;
  /** @param size bytes of the target, where it does not know better */
  target(target: Target, size: number, stopped: Stopped): Promise<GateReport | undefined>;
}

export interface GateReport {
  /** What makes a copy worthless, as sentences. */
  readonly wrong: readonly string[];
  /** More of the kind, which are not listed. */
  readonly more: number;
  /** What somebody should know, as sentences. */
  readonly notes: readonly string[];
}

/** @throws TransferError E_DISK_FORMAT */
export async function gateSource(
  source: SourceInfo,
  runner: ChunkRunner,
  { rules, control }: { readonly rules: RetryRules; readonly control: SharedControl },
): Promise<GateReport | undefined> {
  if (source.oneChunk && source.size > CHUNK_BYTES_DEFAULT) {
    const note = `${source.name} comes in one stream: what looks like a disk image is checked as a copy alone`;
    return { wrong: [], more: 0, notes: [note] };
  }
  const report = await withRetry(() => runner.run('gate-source', { ref: source.ref, control }), rules);
  assertSound(source.name, report, 'With --no-check it is copied as it is. Nothing was written.');
  return report;
}

/** @throws TransferError E_DISK_FORMAT */
export async function gateTarget(
  target: { readonly ref: Target['ref']; readonly name: string; readonly size: number; control: SharedControl },
  runner: ChunkRunner,
): Promise<void> {
  const { ref, name, size, control } = target;
  const report = await runner.run('gate-target', { ref, size, control });
  assertSound(`the new ${name}`, report, 'It got no name, and is kept. Do not trust this storage or the way to it.');
}

function assertSound(name: string, report: GateReport | undefined, hint: string): void {
  if (!report || report.wrong.length === 0) return;
  const more = report.more > 0 ? [`and ${report.more} more`] : [];
  throw new TransferError('E_DISK_FORMAT', `${name} is damaged: ${[...report.wrong, ...more].join('; ')}`, { hint });
}
