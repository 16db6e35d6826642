/**
 * A container in memory that is written to in place and remembers every step, so that a test can look at what a crash
 * leaves after each of them: of a killed process all that was done, of a power cut what was flushed and any part of
 * the rest, sector by sector.
 */
import { diskError } from '../../src/disk/disk-bytes.js';
import type { DiskFile } from '../../src/disk/image-writer.js';
import type { Seeded } from './seeded.js';

const SECTOR = 512;

type Step =
  | { readonly kind: 'write'; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: 'size'; readonly bytes: number }
  | { readonly kind: 'flush' };

export interface MemoryDisk extends DiskFile {
  /** What the file holds now. */
  content(): Buffer;
  readonly steps: readonly Step[];
}

export function memoryDisk(start: Uint8Array, name = 'memory.img'): MemoryDisk {
  let content: Buffer = Buffer.from(start);
  const steps: Step[] = [];
  const take = (step: Step): void => {
    steps.push(step);
    content = after(content, step);
  };
  const readNow: DiskFile['readNow'] = ({ offset, length }, what) => {
    const inside = Number.isSafeInteger(offset) && offset >= 0 && length >= 0 && offset <= content.length - length;
    if (!inside) throw diskError(name, what, offset, `${length} bytes inside the file`, `${content.length} bytes`);
    return Buffer.from(content.subarray(offset, offset + length));
  };
  return {
    name,
    steps,
    get size() {
      return content.length;
    },
    read: async (range, what) => readNow(range, what),
    readNow,
    write: (at, bytes) => take({ kind: 'write', at, bytes: Buffer.from(bytes) }),
    setSize: (bytes) => take({ kind: 'size', bytes }),
    flush: () => take({ kind: 'flush' }),
    content: () => Buffer.from(content),
  };
}

/** What a killed process leaves: after no step, after the first, and so on. */
export function* killedAt(start: Uint8Array, steps: readonly Step[]): Iterable<Buffer> {
  let content: Buffer = Buffer.from(start);
  yield content;
  for (const step of steps) {
    if (step.kind === 'flush') continue;
    content = after(content, step);
    yield content;
  }
}

/** What a power cut may leave: of the steps that no flush covered each sector may or may not be there. */
export function* cutAt(start: Uint8Array, steps: readonly Step[], seeded: Seeded, samples: number): Iterable<Buffer> {
  let durable: Buffer = Buffer.from(start);
  let pending: Step[] = [];
  for (const step of [...steps, { kind: 'flush' } as const]) {
    for (let sample = 0; sample < samples; sample++) {
      const kept = pending.flatMap((one) =>
        one.kind === 'write' ? torn(one, seeded) : seeded.chance(0.5) ? [one] : [],
      );
      yield kept.reduce(after, durable);
    }
    if (step.kind === 'flush') {
      durable = pending.reduce(after, durable);
      pending = [];
    } else pending.push(step);
  }
}

function torn({ at, bytes }: Extract<Step, { kind: 'write' }>, seeded: Seeded): Step[] {
  const share = seeded.pick([0, 0.3, 0.7, 1]);
  const pieces: Step[] = [];
  for (let from = 0; from < bytes.length; ) {
    const next = Math.min(bytes.length, from + SECTOR - ((at + from) % SECTOR));
    if (seeded.chance(share)) pieces.push({ kind: 'write', at: at + from, bytes: bytes.subarray(from, next) });
    from = next;
  }
  return pieces;
}

/** Never changes what it was given. */
function after(content: Buffer, step: Step): Buffer {
  if (step.kind === 'flush') return content;
  const end = step.kind === 'size' ? step.bytes : step.at + step.bytes.length;
  const next = Buffer.alloc(step.kind === 'size' ? end : Math.max(content.length, end));
  content.copy(next);
  if (step.kind === 'write') next.set(step.bytes, step.at);
  return next;
}
