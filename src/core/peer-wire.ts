/**
 * What two hosts say to each other: the calls with their messages, the routes of the bytes, and the limits that both
 * keep. Calls are `POST /v1/<name>` with JSON both ways; bytes go by routes of their own, in frames.
 */
import { CHUNK_BYTES_MAX } from './chunk.js';
import { MACHINE_CALLS } from './machine-wire.js';
import { count, flag, listOf, object, oneOf, pairOf, type Shape, type Shaped, text } from './shape.js';
import { KiB, MiB } from './units.js';

/** Raised when what is said changes its meaning; both sides must know the same. */
export const PROTOCOL = 1;
export const PROTOCOL_HEADER = 'blockferry-protocol';
export const PORT_DEFAULT = 7421;

/** Range in the query: `offset`, `length`; beside it what is named here. */
export const BYTE_ROUTES = {
  /** GET: `root`, `path`, `version`, and `algorithm` of the digest. */
  source: '/v1/source-bytes',
  /** PUT: `lease`, `algorithm`. GET: also `past` = 1 for past the cache. Both: `cache` = leave. */
  part: '/v1/part-bytes',
} as const;

export const WIRE_LIMITS = {
  rangeBytesMax: CHUNK_BYTES_MAX,
  messageBytesMax: 2 * MiB,
  pathLengthMax: 4096,
  extentsPerAnswer: 4096,
  digestsPerAnswer: 4096,
  headBytesMax: 16 * KiB,
} as const;

const name = text(255);
const version = text(300);
const nanoseconds = text(30, /^-?\d{1,25}$/);
const lease = text(100, /^[0-9a-f]+\.[0-9a-f]+$/);
const hex = text(128, /^[0-9a-f]*$/);
const algorithm = oneOf('xxh64', 'sha256');
const identity = object({ device: text(80), inode: text(40) });
const place = object({ root: name, path: text(WIRE_LIMITS.pathLengthMax) });
const range = { offset: count(), length: count() };
const times = object({ accessedNs: nanoseconds, modifiedNs: nanoseconds });
/** Values in base64. */
const extended = listOf(pairOf(text(255), text(90 * KiB)), 256);
const attributes = object(
  { accessedNs: nanoseconds, modifiedNs: nanoseconds, mode: count(0o7777), uid: count(), gid: count() },
  { extended, unread: listOf(text(300), 20) },
);
const mark = object({ device: text(80), inode: text(40), size: count(), mtimeNs: nanoseconds });
const commit = object({ overwrite: flag, sync: flag }, { mode: count(0o7777), attributes });
const sentences = listOf(text(500), 300);
/** Offset, length; then whether it is data. */
const extent = pairOf(pairOf(count(), count()), flag);
const extents = object({ extents: listOf(extent, WIRE_LIMITS.extentsPerAnswer) });
const nothing = object({});
/** What goes into the head of a request, and must not end a line there. */
export const token = text(200, /^[\w-]+$/);
/** Where a host finds another one, and how it is let in there. Holds a secret. */
const address = object(
  { host: text(255, /^[\w.:%-]+$/), port: count(65_535), token },
  { pin: text(64, /^[0-9a-f]{64}$/), ca: text(256 * KiB) },
);
const pullOptions = object(
  {
    ...{ algorithm, rateBytesPerSecond: count(), overwrite: flag, discard: flag },
    ...{ sync: flag, readBack: flag, check: flag },
  },
  { delta: flag, chunkBytes: count(CHUNK_BYTES_MAX), lanes: count(1024) },
);
const pull = text(64, /^[0-9a-f]+$/);

const sourceFacts = object(
  {
    size: count(),
    version: object({ strength: oneOf('strong', 'weak', 'none'), value: version }, { changedNs: nanoseconds }),
    identity,
    mode: count(0o7777),
    holes: flag,
    attributes,
  },
  { allocatedBytes: count() },
);

const record = object(
  {
    ...{ source: text(WIRE_LIMITS.pathLengthMax), bytesTotal: count(), bytesClaimed: count(), bytesZero: count() },
    ...{ chunkBytes: count(), startedAt: count(), damagedRecords: count() },
  },
  {
    lastOpened: object({ pid: count(), host: text(255), at: count() }),
    stopped: object({ at: count(), code: text(40), message: text(4000) }),
  },
);
const site = object(
  { path: text(WIRE_LIMITS.pathLengthMax), fileName: name },
  {
    ...{ existing: identity, adopts: flag, partial: object({ identity, allocatedBytes: count() }) },
    ...{ record, freeBytes: count() },
  },
);

function call<Request, Answer>(request: Shape<Request>, answer: Shape<Answer>, right: 'read' | 'write' | 'any') {
  return { request, answer, right } as const;
}

export const CALLS = {
  /** Who answers: an instance is one start of the daemon, a host is the machine's state folder. */
  hello: call(
    nothing,
    object({
      protocols: listOf(count(), 20),
      instance: text(64),
      host: text(64),
      roots: listOf(object({ name, rights: listOf(oneOf('read', 'write'), 2) }), 1000),
    }),
    'any',
  ),
  'open-source': call(place, object({ host: text(64), facts: sourceFacts }), 'read'),
  'source-extents': call(object({ place, version, ...range }), extents, 'read'),
  /** The digests of the chunks that the range is cut into. */
  'source-digests': call(
    object({ place, version, algorithm, chunkBytes: count(CHUNK_BYTES_MAX), ...range }),
    object({ digests: listOf(hex, WIRE_LIMITS.digestsPerAnswer) }),
    'read',
  ),
  'locate-target': call(object({ place, sourceName: text(1000) }), object({ host: text(64), site }), 'write'),
  'prepare-target': call(
    object({ place, size: count(), partial: oneOf('create', 'reopen'), sync: flag }, { committed: identity }),
    object({ lease, identity, zeroed: flag, readsPastCache: flag }),
    'write',
  ),
  'part-extents': call(object({ lease, ...range }), extents, 'write'),
  'part-digest': call(object({ lease, algorithm, ...range }), object({ digest: hex }), 'write'),
  /** The part begins with what the file that it will replace has there, if that has this digest. */
  adopt: call(object({ lease, algorithm, digest: hex, ...range }), object({ adopted: flag }), 'write'),
  zero: call(object({ lease, ...range }), nothing, 'write'),
  /** `seen`: failures that the caller knows of; where there were more, this one fails too. */
  flush: call(object({ lease, seen: count() }), object({ failures: count() }), 'write'),
  mark: call(object({ lease }, { times }), mark, 'write'),
  commit: call(object({ lease, commit }), object({ sentences }), 'write'),
  'close-target': call(object({ lease }), nothing, 'write'),
  'finish-commit': call(object({ place, part: mark, commit }), object({ whole: flag }), 'write'),
  discard: call(object({ place }), nothing, 'write'),
  /** A token that reads this one file, for a while: for the host that pulls it. */
  delegate: call(place, object({ token }), 'read'),
  /** Has the host copy from another one by itself. It stops when nobody asks about it for a minute. */
  pull: call(
    object({ source: object({ address, place }), place, sourceName: text(1000), options: pullOptions }),
    object({ pull }),
    'write',
  ),
  /** What the pull has said after so many lines, each one of JSON; waits a while when that is nothing. */
  'pull-news': call(
    object({ pull, after: count() }),
    object({ lines: listOf(text(256 * KiB), 1000), ended: flag }),
    'write',
  ),
  'pull-rate': call(object({ pull, rateBytesPerSecond: count() }), nothing, 'write'),
  /** It puts what is finished on record, and ends. */
  'pull-stop': call(object({ pull }), nothing, 'write'),
  ...MACHINE_CALLS,
} as const;

export type CallName = keyof typeof CALLS;
export type CallRequest<N extends CallName> = Shaped<(typeof CALLS)[N]['request']>;
export type CallAnswer<N extends CallName> = Shaped<(typeof CALLS)[N]['answer']>;
export type Place = Shaped<typeof place>;
export type SourceFacts = Shaped<typeof sourceFacts>;
export type WireAttributes = Shaped<typeof attributes>;
export type WireExtent = Shaped<typeof extent>;
export type Right = 'read' | 'write';
export type PeerAddress = Shaped<typeof address>;
export type PullOptions = Shaped<typeof pullOptions>;

/** Why a lease is not held any more, in the head of an answer: `restarted` can be prepared again, `taken` cannot. */
export const LEASE_HEADER = 'blockferry-lease';
