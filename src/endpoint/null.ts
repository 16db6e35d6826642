/**
 * The ends that cost nothing, to measure everything else: `zero:SIZE` reads as zeroes, `null:` takes bytes and forgets
 * them.
 */
import type { EndpointRef, Location, Source } from '../core/endpoint.js';
import { CHUNK_LIMITS, type Target } from '../core/target.js';
import { parseBytes } from '../core/units.js';
import type { EndpointScheme } from './registry.js';

interface ZeroRef extends EndpointRef {
  readonly size: number;
}

const nothing = (): undefined => undefined;

function zeroSource({ scheme, size }: ZeroRef): Source {
  const ref: ZeroRef = { scheme, size };
  return {
    ref,
    name: `zero:${size}`,
    fileName: 'zero',
    size,
    sizeIs: 'exact',
    version: { strength: 'strong', value: `zero ${size}` },
    readsPerWorker: 2,
    openChunk: (range) => {
      let rest = range.length;
      return {
        next: (into) => {
          const got = Math.min(rest, into.length);
          into.fill(0, 0, got);
          rest -= got;
          return got;
        },
        close: nothing,
      };
    },
    assertUnchanged: async () => undefined,
    close: async () => undefined,
  };
}

function nullTarget(ref: EndpointRef): Target {
  return {
    ref,
    openChunk: () => ({ write: nothing, skip: nothing, finish: () => undefined, abort: nothing }),
    zero: nothing,
    openChunkBack: () => ({ next: () => 0, close: nothing }),
    mark: () => ({ device: 'null', inode: 'null', size: 0, mtimeNs: '0' }),
    flush: async () => undefined,
    commit: async () => [],
    close: async () => undefined,
  };
}

export function zeroScheme(): EndpointScheme {
  const open = (location: Location): Source =>
    zeroSource({ scheme: 'zero', size: parseBytes(location.text.slice('zero:'.length), 'zero:SIZE') });
  return { openSource: async (location) => open(location), attachSource: (ref) => zeroSource(ref as ZeroRef) };
}

/** `journalPath` is where the job keeps its journal, since there is nothing beside a null target. */
export function nullScheme(journalPath: () => string): EndpointScheme {
  const ref: EndpointRef = { scheme: 'null' };
  return {
    locateTarget: async (_location, sourceName) => ({
      ref,
      name: 'null:',
      fileName: sourceName,
      journalPath: journalPath(),
      publish: 'atomic',
      forgets: true,
      limits: CHUNK_LIMITS,
      writesPerWorker: 2,
    }),
    prepareTarget: async () => ({ ref, identity: { device: 'null', inode: 'null' }, zeroed: true }),
    attachTarget: nullTarget,
    discardPartial: async () => undefined,
  };
}
