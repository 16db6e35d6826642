/** Sees what memory of buffers is asked for, so that no number in a file can make a reader take it all. */
import { MiB } from '../../src/core/units.js';

export const ALLOCATION_BYTES_MAX = 64 * MiB;

let largest = 0;

/** From here on every buffer is seen that this process makes by the usual names. */
export function watchAllocations(): void {
  const seen = (bytes: unknown): void => {
    if (typeof bytes === 'number' && bytes > largest) largest = bytes;
  };
  for (const name of ['alloc', 'allocUnsafe', 'allocUnsafeSlow'] as const) {
    const plain = Buffer[name] as (size: number, ...rest: unknown[]) => Buffer;
    const watched = (size: number, ...rest: unknown[]): Buffer => {
      seen(size);
      return plain(size, ...rest);
    };
    Object.assign(Buffer, { [name]: watched });
  }
  const constructors = {
    ArrayBuffer,
    SharedArrayBuffer,
    Uint8Array,
    Uint16Array,
    Uint32Array,
    Int32Array,
    Float64Array,
  };
  for (const [name, plain] of Object.entries({ ...constructors, BigUint64Array, BigInt64Array, Array })) {
    const unit = 'BYTES_PER_ELEMENT' in plain ? plain.BYTES_PER_ELEMENT : plain === Array ? 8 : 1;
    const construct = (target: typeof plain, args: unknown[], newTarget: typeof plain): object => {
      if (typeof args[0] === 'number' && args.length === 1) seen(args[0] * unit);
      return Reflect.construct(target, args, newTarget === watched ? target : newTarget);
    };
    const watched: typeof plain = new Proxy(plain, { construct });
    Object.assign(globalThis, { [name]: watched });
  }
}

/** Bytes of the largest buffer since the last call. */
export function largestAllocation(): number {
  const bytes = largest;
  largest = 0;
  return bytes;
}

let base = 0;

/** Buffers are freed beside the collection that found them unused, and are surely gone after the next one. */
function collect(): void {
  globalThis.gc?.();
  globalThis.gc?.();
}

/** What lives now is not counted. */
export function resetMemory(): void {
  collect();
  base = liveBytes();
}

const liveBytes = (): number => process.memoryUsage().arrayBuffers;

/** Whether buffers that are in use, and not only not collected yet, are larger than what a reader may take. */
export function memoryExceeded(): boolean {
  if (liveBytes() - base <= ALLOCATION_BYTES_MAX) return false;
  collect();
  return liveBytes() - base > ALLOCATION_BYTES_MAX;
}
