/**
 * The first bytes of another source, as a source of its own: so that the engine copies a part of what is too large to
 * be copied for a measurement. Nobody can type such a location.
 */
import type { EndpointRef, Location, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { ability, type EndpointScheme, type Registry } from '../endpoint/registry.js';

interface FirstRef extends EndpointRef {
  readonly bytes: number;
  readonly whole: EndpointRef;
}

const schemeName = (scheme: string): string => `first-bytes+${scheme}`;

/** The location of the first `bytes` of `whole`. */
export function firstBytesOf(whole: Location, bytes: number): Location {
  return { scheme: schemeName(whole.scheme), text: JSON.stringify({ whole, bytes }), name: whole.name };
}

/** Adds the first bytes of each kind of location that there is; messages that list the kinds leave them out. */
export function withFirstBytes(registry: Registry): Registry {
  const both = { ...registry };
  for (const [scheme, load] of Object.entries(registry)) {
    const value = async (): Promise<EndpointScheme> => firstBytesScheme(schemeName(scheme), await load());
    Object.defineProperty(both, schemeName(scheme), { value, enumerable: false });
  }
  return both;
}

function firstBytesScheme(scheme: string, inner: EndpointScheme): EndpointScheme {
  return {
    openSource: async (location) => {
      const { whole, bytes } = read(location);
      return firstOf(scheme, await ability(inner, whole.name, 'openSource')(whole), bytes);
    },
    attachSource: async (ref) => {
      const { whole, bytes } = ref as FirstRef;
      return firstOf(scheme, await ability(inner, whole.scheme, 'attachSource')(whole), bytes);
    },
  };
}

function read({ text, name }: Location): { readonly whole: Location; readonly bytes: number } {
  if (text.startsWith('{')) return JSON.parse(text);
  throw new TransferError('E_USAGE', `${name} is not a location`, { hint: 'Give a path or a URL.' });
}

function firstOf(scheme: string, whole: Source, bytes: number): Source {
  const { name, fileName, version, identity, readsPerWorker } = whole;
  const ref: FirstRef = { scheme, bytes, whole: whole.ref };
  return {
    ...{ ref, name, fileName, version, readsPerWorker },
    ...(identity && { identity }),
    size: Math.min(bytes, whole.size),
    sizeIs: 'exact',
    openChunk: (range, signal) => whole.openChunk(range, signal),
    assertUnchanged: () => whole.assertUnchanged(),
    detach: () => whole.detach?.(),
    close: () => whole.close(),
  };
}
