/** The table of ends: every kind that a copy can be made from or to. */
import type { EndKind } from './end.js';
import { httpSource } from './http-ends.js';
import { blockDevice, localPath, mountedShare } from './local-ends.js';

export const ends = {
  path: localPath,
  device: blockDevice,
  share: mountedShare,
  http: httpSource,
} as const satisfies Readonly<Record<string, EndKind>>;

export type EndName = keyof typeof ends;

export interface Pairing {
  readonly from: EndName;
  readonly to: EndName;
}

const SOURCES: readonly EndName[] = ['path', 'device', 'share', 'http'];
const TARGETS: readonly EndName[] = ['path', 'device', 'share'];

/** Every source with every target. */
export function allPairs(): readonly Pairing[] {
  return SOURCES.flatMap((from) => TARGETS.map((to) => ({ from, to })));
}

/** Every source to a path, a path to every target, and each remote source to the remote target that comes after it. */
export function fewPairs(): readonly Pairing[] {
  const remote = (name: EndName): boolean => name !== 'path' && name !== 'device';
  const targets = TARGETS.filter(remote);
  return allPairs().filter(({ from, to }) => {
    if (from === 'path' || to === 'path') return true;
    const others = targets.filter((name) => name !== from);
    return remote(from) && to === others[SOURCES.indexOf(from) % others.length];
  });
}

export function sourceNames(): readonly EndName[] {
  return SOURCES;
}
