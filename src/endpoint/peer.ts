/** The peer scheme: a file that another host's `blockferry serve` offers, as a source and as a target. */
import type { EndpointRef, Location } from '../core/endpoint.js';
import {
  CHUNK_LIMITS,
  type CommitRequest,
  type PartMark,
  type PreparedTarget,
  type PrepareRequest,
  type TargetSite,
} from '../core/target.js';
import { peerName, peerPlace } from './peer/address.js';
import { peerClient } from './peer/client.js';
import { PeerLease } from './peer/lease.js';
import { hostIdentity, ownIdentity, PeerSource, type PeerSourceRef, shownPlace } from './peer/source.js';
import { ownMark, type PeerPartRef, PeerTarget, type PeerTargetRef, wireCommit } from './peer/target.js';
import type { EndpointScheme } from './registry.js';
import { remoteJournalPath } from './remote-journal.js';

export { closePeers } from './peer/client.js';

export function peerScheme(): EndpointScheme {
  return {
    openSource: async (location) => openSource(location),
    openCommittedSource: async (ref) => {
      const { address, place } = ref as PeerTargetRef;
      const { host, facts } = await peerClient(address).call('open-source', place);
      return new PeerSource({ scheme: 'peer', address, place, host, facts });
    },
    attachSource: (ref) => new PeerSource(ref as PeerSourceRef),
    locateTarget: async (location, sourceName) => locate(location, sourceName),
    prepareTarget: async (ref, request) => prepare(ref as PeerTargetRef, request),
    attachTarget: (ref) => new PeerTarget(ref as PeerPartRef),
    discardPartial: async (ref) => {
      const { address, place } = ref as PeerTargetRef;
      await peerClient(address).call('discard', { place });
    },
    finishCommit: async (ref, part, request) => finish(ref as PeerTargetRef, part, request),
  };
}

async function openSource(location: Location): Promise<PeerSource> {
  const { address, place } = peerPlace(location);
  const { host, facts } = await peerClient(address).callOnce('open-source', place);
  return new PeerSource({ scheme: 'peer', address, place, host, facts });
}

async function locate(location: Location, sourceName: string): Promise<TargetSite> {
  const { address, place } = peerPlace(location);
  const client = peerClient(address);
  const { host, site } = await client.call('locate-target', { place, sourceName });
  const there = { root: place.root, path: site.path };
  const ref: PeerTargetRef = { scheme: 'peer', address, place: there, host };
  const { existing, adopts, partial, record, freeBytes } = site;
  return {
    ref: ref satisfies EndpointRef,
    name: shownPlace(client, there),
    fileName: site.fileName,
    journalPath: remoteJournalPath(`peer://${peerName(address)}/${there.root}/${there.path}`),
    publish: 'atomic',
    limits: CHUNK_LIMITS,
    writesPerWorker: 4,
    ...(existing && { existing: hostIdentity(host, existing) }),
    ...(adopts && { adopts }),
    ...(partial && { partial: { ...partial, identity: hostIdentity(host, partial.identity) } }),
    ...(record && { recordThere: record }),
    ...(freeBytes !== undefined && { freeBytes }),
  };
}

/** Asked once: a second time, what the first has made would stand in the way. */
async function prepare(ref: PeerTargetRef, request: PrepareRequest): Promise<PreparedTarget> {
  const { address, place, host } = ref;
  const { size, partial, sync } = request;
  const committed = request.committed && ownIdentity(host, request.committed);
  const wish = { place, size, partial, sync, ...(committed && { committed }) };
  const client = peerClient(address);
  const answer = await (partial === 'create'
    ? client.callOnce('prepare-target', wish)
    : client.call('prepare-target', wish));
  const { lease, identity, zeroed, readsPastCache } = answer;
  const part: PeerPartRef = { ...ref, shared: PeerLease.create(lease), size, sync, part: identity, readsPastCache };
  return { ref: part, identity: hostIdentity(host, identity), zeroed };
}

async function finish(ref: PeerTargetRef, part: PartMark, request: CommitRequest): Promise<boolean> {
  const { address, place, host } = ref;
  const own = ownMark(host, part);
  if (!own) return false;
  return (await peerClient(address).call('finish-commit', { place, part: own, commit: wireCommit(request) })).whole;
}
