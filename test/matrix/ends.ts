/** The table of ends: every kind that a copy can be made from or to, and which of them are paired. */
import type { EndKind } from './end.js';
import { blockDevice, localPath, mountedShare } from './local-ends.js';
import { httpPut, nginx, onePut, peer, s3, sftp, webdav } from './server-ends.js';

export const ends = {
  path: localPath,
  device: blockDevice,
  share: mountedShare,
  nginx,
  httpPut,
  onePut,
  webdav,
  sftp,
  s3,
  peer,
} as const satisfies Readonly<Record<string, EndKind>>;

export type EndName = keyof typeof ends;

export interface Pairing {
  readonly from: EndName;
  readonly to: EndName;
}

/** WebDAV is read as any web server is, and rclone's is read by nobody who has Apache's. */
export const SOURCES: readonly EndName[] = ['path', 'device', 'share', 'nginx', 'webdav', 'sftp', 's3', 'peer'];
export const TARGETS: readonly EndName[] = [
  'path',
  'device',
  'share',
  'httpPut',
  'onePut',
  'webdav',
  'sftp',
  's3',
  'peer',
];
/** Each of the remote sources, with one of the remote targets. */
const ACROSS: readonly Pairing[] = [
  { from: 'share', to: 's3' },
  { from: 'nginx', to: 'sftp' },
  { from: 'webdav', to: 'peer' },
  { from: 'sftp', to: 's3' },
  { from: 's3', to: 'webdav' },
  { from: 'peer', to: 'sftp' },
];

/** Every source with every target. */
export function allPairs(): readonly Pairing[] {
  return SOURCES.flatMap((from) => TARGETS.map((to) => ({ from, to })));
}

/** Every source to a path, a path to every target, and each remote source to a remote target. */
export function fewPairs(): readonly Pairing[] {
  return [...allPairs().filter(({ from, to }) => from === 'path' || to === 'path'), ...ACROSS];
}
