/** Watches a guest from outside: its heartbeats as they come, and the longest time without one. */
import { nowMs, systemClock } from '../src/core/clock.js';
import type { Guest } from '../test/support/guest/noticing-guest.js';

const LOOK_MS = 2;
/** So often a heartbeat is shown. */
const SHOWN_EACH_MS = 1000;

export interface Heart {
  /** Without a heartbeat, at most. */
  readonly gapMs: number;
  readonly beats: number;
  stop(): void;
}

export function watchHeart(guest: Guest, show: (line: string) => void): Heart {
  const stop = new AbortController();
  const heart = { gapMs: 0, beats: 0, stop: () => stop.abort() };
  void watch(guest, heart, show, stop.signal);
  return heart;
}

async function watch(
  guest: Guest,
  heart: { gapMs: number; beats: number },
  show: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  let [last, bytes] = [guest.heartbeats.length, guest.saidBytes];
  let [seenAt, shownAt] = [nowMs(systemClock), 0];
  for (; !stop.aborted; await systemClock.sleep(LOOK_MS, stop)) {
    // What it says is only read when there is more of it.
    if (guest.saidBytes === bytes) continue;
    const now = nowMs(systemClock);
    bytes = guest.saidBytes;
    const beats = guest.heartbeats;
    if (beats.length > last) {
      heart.gapMs = Math.max(heart.gapMs, now - seenAt);
      heart.beats += beats.length - last;
      [last, seenAt] = [beats.length, now];
      const beat = beats.at(-1);
      if (beat && now - shownAt >= SHOWN_EACH_MS) {
        show(`HB seq=${beat.seq} corrupt=${beat.corrupt} boot=${beat.boot}`);
        shownAt = now;
      }
    }
  }
}
