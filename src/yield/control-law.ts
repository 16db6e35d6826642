/**
 * How fast a copy may go beside others, as a pure function over what was seen: the same samples give the same rates.
 *
 * Alone it goes as fast as the storage lets it, and learns its ceiling by that. As soon as others are there it takes
 * its share of what they leave, in small blocks, at once; where requests come to wait all the same, it gives way by a
 * factor and comes back slowly. When they have gone it grows as fast as it can, up to where it was.
 */
import { KiB, MiB } from '../core/units.js';

export const YIELDS = ['gentle', 'fair', 'greedy'] as const;
export type Yield = (typeof YIELDS)[number];
/** Of a goal that can be kept: below it every disk is too slow, above it nobody is hurt. */
export const LATENCY_MS_MIN = 1;
export const LATENCY_MS_MAX = 10_000;
/** Of requests of others, in milliseconds: what 99 of 100 are to stay under. */
export type Goal = Yield | { readonly latencyMs: number };

/** What was seen in one stretch of time, a tenth of a second or so. */
export interface Sample {
  readonly ms: number;
  /** Our own, that the pace counted. */
  readonly bytes: number;
  /** Our own blocks that were read or written, with the sums of how long each took and of the squares of that. */
  readonly blocks: number;
  readonly blockBytes: number;
  readonly latencyMs: number;
  readonly latencyMs2: number;
  /** Of the quickest of them. */
  readonly fastestMs: number;
  /** What others did at the device; absent: that cannot be told here. */
  readonly others?: Others;
  /** Share of the time in which somebody else was stalled by storage, 0 to 1; absent: nobody says. */
  readonly pressure?: number;
  /** There is no storage to look at: only how long our own blocks take. */
  readonly link?: boolean;
}

export interface Others {
  readonly requests: number;
  readonly bytes: number;
}

/** Opaque: begin with {@link FIRST}, hand back the last. */
export interface LawState {
  readonly mode: 'alone' | 'beside' | 'growing';
  /** Bytes per second; in mode `alone` it is not held. */
  readonly rate: number;
  /** What the storage gave at most, bytes per second; 0: not known yet. */
  readonly ceiling: number;
  /** Where requests came to wait: the rate grows slowly from there. */
  readonly cap: number;
  /** Smoothed, per second: what moved, and what might have. */
  readonly delivered: number;
  readonly asked: number;
  /** What moved, over a second: a storage gives more in its first moments than it can go on with. */
  readonly sustained: number;
  readonly othersRequests: number;
  readonly othersBytes: number;
  readonly pressure: number;
  /** The shorter of the last two: one alone is a thread that got no processor. */
  readonly waitMs: number;
  readonly lastWaitMs: number;
  /** What a block takes where nobody waits, by the logarithm of its size. */
  readonly base: Readonly<Record<number, number>>;
  /** Since then: requests waited, others were seen. Milliseconds. */
  readonly calmMs: number;
  readonly goneMs: number;
  /** For so long less moved than might have, with blocks under way all the time: the storage gives no more. */
  readonly fullMs: number;
  /** How long the rate stays before more than the ceiling is tried. */
  readonly patienceMs: number;
}

export const FIRST: LawState = {
  mode: 'alone',
  ...{ rate: 0, ceiling: 0, cap: Number.POSITIVE_INFINITY, delivered: 0, asked: 0, sustained: 0 },
  ...{ othersRequests: 0, othersBytes: 0, pressure: 0, waitMs: 0, lastWaitMs: 0, base: {} },
  ...{ calmMs: 0, goneMs: 0, fullMs: 0, patienceMs: 0 },
};

export type Why = 'alone' | 'others' | 'waits' | 'returns';

export interface Ruling {
  readonly state: LawState;
  /** 0: no limit. */
  readonly rateBytesPerSecond: number;
  /** 0: as large as they are. */
  readonly blockBytesMax: number;
  readonly why: Why;
}

interface Manner {
  /** Of what the storage gives and others leave: the rest is what keeps their requests from waiting. */
  readonly share: number;
  /** What a request that comes at any moment may wait for ours, on average, before we give way. */
  readonly waitMs: number;
  /** What is kept of the rate when requests wait. */
  readonly keeps: number;
  /** Flows whatever happens, of the ceiling: so a copy takes at most so many times as long, and ends. */
  readonly trickle: number;
  readonly blockBytes: number;
}

const MANNERS: Readonly<Record<Yield, Manner>> = {
  gentle: { share: 0.8, waitMs: 1.5, keeps: 0.6, trickle: 0.05, blockBytes: 64 * KiB },
  fair: { share: 0.9, waitMs: 5, keeps: 0.7, trickle: 0.1, blockBytes: 128 * KiB },
  greedy: { share: 0.97, waitMs: 25, keeps: 0.85, trickle: 0.3, blockBytes: 256 * KiB },
};
/** Also where no ceiling is known. */
const TRICKLE_BYTES_MIN = MiB;
/**
 * A link's queue in milliseconds: RFC 6817 allows 100 at most. Its blocks wait for the sender, whatever their size, so
 * they stay as they are.
 */
const LINK_WAIT_MS: Readonly<Record<Yield, number>> = { gentle: 25, fair: 60, greedy: 100 };

const BLOCK_BYTES_MIN = 16 * KiB;

/** Of others, per second: less is a clock that writes its log. */
const REQUESTS_MIN = 20;
const BYTES_MIN = MiB;
/** Of our own bytes: what differs by less is the moment in which they are counted. */
const BYTES_SHARE_MIN = 0.25;
/** Of the time, where nothing tells of the device. */
const PRESSURE_MIN = 0.15;
/** Others that were not seen for so long have gone: less would swing with those who come and go. */
const GONE_MS = 1200;
/** After giving way, until it shows. */
const SETTLE_MS = 300;
/** Until the rate rises over where requests came to wait. */
const CALM_MS = 2000;
/** One bad moment is no new ceiling. */
const FULL_SHARE = 0.85;
const FULL_MS = 400;
const CEILING_KEEPS = 0.85;
const SMOOTH_MS = 250;
const SUSTAINED_MS = 1000;
/** So soon half of what was more than that is forgotten, while a copy is alone and moves. */
const CEILING_FADES_MS = 15_000;
/** A trace of what has been, for as long as routes and disks stay the same: minutes (RFC 6817, base delay). */
const BASE_DOUBLES_MS = 180_000;
/** The first where the ceiling was not seen while nobody else was there. */
const PATIENCE_MS_MIN = 5000;
const PATIENCE_MS_MAX = 240_000;

function mannerOf(goal: Goal, ceiling: number, link: boolean): Manner {
  if (typeof goal === 'string') {
    return link ? { ...MANNERS[goal], waitMs: LINK_WAIT_MS[goal], blockBytes: 0 } : MANNERS[goal];
  }
  const { latencyMs } = goal;
  // One block holds a disk for an eighth of what is allowed: several lie in the queue, and others' beside them.
  const bytes = ceiling > 0 ? 2 ** Math.floor(Math.log2((ceiling * latencyMs) / 8000)) : 64 * KiB;
  const blockBytes = Math.max(BLOCK_BYTES_MIN, Math.min(256 * KiB, bytes));
  const paced = { share: 0.85, keeps: 0.6, trickle: 0.05 };
  // A latency is of a disk; on the links to it a copy is gentle.
  if (link) return { ...paced, waitMs: Math.max(latencyMs / 8, LINK_WAIT_MS.gentle), blockBytes: 0 };
  return { ...paced, waitMs: latencyMs / 8, blockBytes };
}

/** @param sample of the time since the last one */
export function rule(before: LawState, sample: Sample, goal: Goal): Ruling {
  const seen = look(before, sample);
  const manner = mannerOf(goal, seen.ceiling, sample.link ?? false);
  const trickle = Math.max(TRICKLE_BYTES_MIN, manner.trickle * seen.ceiling);
  // Where nobody tells whether others are there, they are as soon as requests wait, and from then on.
  const waits = before.mode === 'beside' || seen.waitMs > manner.waitMs || seen.pressure >= PRESSURE_MIN;
  const crowded = sample.others ? isCrowded(seen) : waits;
  const state = { ...seen, goneMs: crowded ? 0 : seen.goneMs + sample.ms };
  if (state.mode === 'beside' ? state.goneMs < GONE_MS : crowded) return beside(state, sample, { manner, trickle });
  if (state.mode === 'alone') return alone(state, sample.ms);
  return growing({ ...state, mode: 'growing' }, sample, trickle);
}

/** What all modes learn from a sample. */
function look(before: LawState, sample: Sample): LawState {
  const smooth = (old: number, now: number, overMs = SMOOTH_MS): number =>
    old + (now - old) * (1 - Math.exp(-sample.ms / overMs));
  const perSecond = 1000 / Math.max(1, sample.ms);
  const { base, lastWaitMs } = waited(before, sample);
  const sustained = smooth(before.sustained, sample.bytes * perSecond, SUSTAINED_MS);
  const delivered = smooth(before.delivered, sample.bytes * perSecond);
  const asked = before.mode === 'alone' ? delivered : smooth(before.asked, before.rate);
  // What goes through while nobody else is there is all that does.
  const shows = sample.others !== undefined && before.mode !== 'beside';
  return {
    ...before,
    ...{ base, delivered, lastWaitMs, waitMs: Math.min(lastWaitMs, before.lastWaitMs) },
    asked,
    fullMs: delivered < FULL_SHARE * asked && sample.latencyMs >= sample.ms ? before.fullMs + sample.ms : 0,
    othersRequests: smooth(before.othersRequests, (sample.others?.requests ?? 0) * perSecond),
    othersBytes: smooth(before.othersBytes, (sample.others?.bytes ?? 0) * perSecond),
    pressure: smooth(before.pressure, sample.pressure ?? 0),
    sustained,
    ceiling: Math.max(before.ceiling, shows ? sustained : 0),
    calmMs: before.calmMs + sample.ms,
  };
}

/**
 * What a request that comes at any moment would wait behind ours, beyond what a block takes in the best case: the mean
 * of what is left of the block that is under way then.
 */
function waited(before: LawState, { ms, blocks, ...sample }: Sample): Pick<LawState, 'base' | 'lastWaitMs'> {
  const { base } = before;
  if (blocks === 0) return { base, lastWaitMs: 0 };
  const size = Math.round(Math.log2(Math.max(1, sample.blockBytes)));
  // Alone we queue behind ourselves: only the quickest block tells what one takes.
  const now = before.mode === 'alone' ? sample.fastestMs : sample.latencyMs / blocks;
  const known = base[size] ?? base[size + 1] ?? base[size + 2] ?? now;
  const best = Math.min(now, known * 2 ** (ms / BASE_DOUBLES_MS));
  const beyond = Math.max(0, sample.latencyMs2 - 2 * best * sample.latencyMs + blocks * best * best);
  return { base: { ...base, [size]: best }, lastWaitMs: beyond / (2 * Math.max(ms, sample.latencyMs)) };
}

function isCrowded({ othersRequests, othersBytes, delivered }: LawState): boolean {
  return othersRequests >= REQUESTS_MIN || othersBytes >= Math.max(BYTES_MIN, BYTES_SHARE_MIN * delivered);
}

function alone(state: LawState, ms: number): Ruling {
  const { sustained } = state;
  const moves = state.ceiling > 0 && sustained > state.ceiling / 2;
  const ceiling = moves ? sustained + (state.ceiling - sustained) * 0.5 ** (ms / CEILING_FADES_MS) : state.ceiling;
  const next = { ...state, ceiling, rate: 0, cap: Number.POSITIVE_INFINITY };
  return { state: next, rateBytesPerSecond: 0, blockBytesMax: 0, why: 'alone' };
}

/** Over the ceiling within two seconds; what comes then is no limit. */
function growing(state: LawState, { ms }: Sample, least: number): Ruling {
  const rate = Math.max(state.rate, least) * 2 ** (ms / 400);
  if (rate > state.ceiling * 1.1) return alone({ ...state, mode: 'alone' }, ms);
  return { state: { ...state, rate }, rateBytesPerSecond: rate, blockBytesMax: 0, why: 'returns' };
}

interface Bounds {
  readonly manner: Manner;
  readonly trickle: number;
}

function beside(before: LawState, sample: Sample, { manner, trickle }: Bounds): Ruling {
  const arriving = before.mode !== 'beside';
  const state: LawState = { ...before, mode: 'beside' };
  const share = sample.others || state.pressure >= PRESSURE_MIN ? manner.share : 1;
  const most = state.ceiling > 0 ? share * Math.max(0, state.ceiling - state.othersBytes) : Infinity;
  const held = (rate: number, next: Partial<LawState>, why: Why): Ruling => {
    const bounded = Math.max(trickle, rate);
    const blockBytesMax = manner.blockBytes;
    return { state: { ...state, ...next, rate: bounded }, rateBytesPerSecond: bounded, blockBytesMax, why };
  };
  if (arriving) {
    const known = state.ceiling > 0 ? most : manner.keeps * state.delivered;
    const rate = Math.min(before.mode === 'growing' ? before.rate : Infinity, known);
    const patienceMs = state.ceiling > 0 ? PATIENCE_MS_MAX / 4 : PATIENCE_MS_MIN;
    return held(rate, { cap: Infinity, calmMs: 0, patienceMs }, 'others');
  }
  const waits = state.waitMs > manner.waitMs || state.fullMs >= FULL_MS;
  if (waits && state.calmMs >= SETTLE_MS) return giveWay(state, manner, held);
  return comeBack(state, sample, most, held);
}

type Hold = (rate: number, next: Partial<LawState>, why: Why) => Ruling;

function giveWay(state: LawState, manner: Manner, held: Hold): Ruling {
  // That is what the storage has now.
  const short = state.fullMs >= FULL_MS;
  const had = state.delivered + state.othersBytes;
  const known = state.ceiling || had;
  const ceiling = short ? Math.min(known, Math.max(had, CEILING_KEEPS * known)) : known;
  // Not everything that keeps bytes from moving is the storage: a flush of our own, or the other end.
  const cap = Math.min(state.cap, Math.max(0.95 * (short ? state.delivered : state.rate), manner.keeps * state.rate));
  const patienceMs = Math.min(PATIENCE_MS_MAX, state.patienceMs * 2);
  return held(state.rate * manner.keeps, { ceiling, cap, calmMs: 0, fullMs: 0, patienceMs }, 'waits');
}

/** Quickly up to where requests came to wait, slowly over that, and after a long calm over the ceiling too. */
function comeBack(state: LawState, { ms }: Sample, most: number, held: Hold): Ruling {
  const cap = state.calmMs > CALM_MS ? state.cap * slowly(state.calmMs - CALM_MS, ms) : state.cap;
  const bound = Math.min(cap, most);
  const used = state.delivered / Math.max(1, state.asked);
  const tries = state.calmMs > state.patienceMs && used > 0.95 && state.rate > 0.98 * most;
  const ceiling = tries ? state.ceiling * slowly(state.calmMs - state.patienceMs, ms) : state.ceiling;
  const grown = state.calmMs < SETTLE_MS || used < 0.7 ? state.rate : state.rate * 2 ** (ms / 700);
  return held(Math.min(bound, grown), { cap, ceiling }, 'others');
}

/** By 3 % in a second where requests came to wait before, and by more the longer they do not. */
function slowly(calmMs: number, ms: number): number {
  return 1 + (Math.min(0.5, 0.03 * 2 ** (calmMs / 1500)) * ms) / 1000;
}
