/** What waiting jobs wait for without knowing it: a network or a volume that comes back changes this text. */
import { networkInterfaces } from 'node:os';
import { mountPoints } from '../platform/file-system.js';

export function surroundings(): string {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  return JSON.stringify([addresses.sort(), mountPoints()]);
}
