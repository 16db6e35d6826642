/**
 * Repeats one blocking deed for the time that it is given: warmed first, every time taken. What must not count (the
 * cache is dropped, the file begins anew) stops the clock.
 */
import type { Clock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type { ControlBlock } from '../control-block.js';
import type { Gate, Measured, TimeBudget } from './tasks.js';

/** Of the time, at most half a second: for the first touch of memory, the compiler, and the clocks of disks. */
const WARM_SHARE = 0.15;
const WARM_SECONDS_MAX = 0.5;
const GATE_MS = 3000;
/** A million of them tell enough, and take 8 MiB. */
const LATENCIES_MAX = 1 << 20;

export interface Deed {
  /** Reads, writes or hashes one block, and says how many bytes that was. */
  readonly once: () => number;
  /** Called before each block; true: what it did took time that does not count. */
  readonly prepare?: () => boolean;
  /** Warming is over; what is still under way in the system does not belong to what follows. */
  readonly warmed?: () => void;
  /** The last part of the work, within the time. */
  readonly finish?: () => void;
}

export interface TimedParts {
  readonly clock: Clock;
  readonly control: Pick<ControlBlock, 'stopped'>;
  readonly gate?: Gate | undefined;
}

/** @throws TransferError E_STOPPED */
export function timed(deed: Deed, { seconds, bytesMax = Infinity }: TimeBudget, parts: TimedParts): Measured {
  const { clock, control } = parts;
  const latencies = new Latencies();
  const warmNs = BigInt(Math.round(Math.min(WARM_SECONDS_MAX, seconds * WARM_SHARE) * 1e9));
  const warmUntil = clock.nowNs() + warmNs;
  let written = 0;
  // A bounded deed must have something left to be measured by.
  while (clock.nowNs() < warmUntil && written < bytesMax / 8) {
    assertRunning(control);
    deed.prepare?.();
    written += deed.once();
  }
  deed.warmed?.();
  if (parts.gate) waitForAll(parts.gate, control);
  const cpu = process.cpuUsage();
  const startNs = clock.nowNs();
  const lengthNs = BigInt(Math.round(seconds * 1e9));
  let [notCountedNs, bytes, now, block] = [0n, 0, startNs, 0];
  do {
    assertRunning(control);
    if (deed.prepare?.()) {
      const then = clock.nowNs();
      notCountedNs += then - now;
      now = then;
    }
    block = deed.once();
    bytes += block;
    const after = clock.nowNs();
    latencies.add(Number(after - now));
    now = after;
  } while (now - startNs - notCountedNs < lengthNs && written + bytes + block <= bytesMax);
  deed.finish?.();
  const endNs = clock.nowNs() - notCountedNs;
  const used = process.cpuUsage(cpu);
  return { bytes, startNs, endNs, cpuMs: (used.user + used.system) / 1000, latenciesNs: latencies.taken() };
}

/** Blocks this thread, which has nothing else to do; one that failed is not waited for endlessly. */
function waitForAll({ arrived, threads }: Gate, control: Pick<ControlBlock, 'stopped'>): void {
  const count = new Int32Array(arrived);
  let there = Atomics.add(count, 0, 1) + 1;
  Atomics.notify(count, 0);
  while (there < threads && !control.stopped) {
    if (Atomics.wait(count, 0, there, GATE_MS) === 'timed-out') return;
    there = Atomics.load(count, 0);
  }
}

export function assertRunning(control: Pick<ControlBlock, 'stopped'>): void {
  if (control.stopped) throw new TransferError('E_STOPPED', 'the benchmark was stopped');
}

export class Latencies {
  #ns = new Float64Array(1024);
  #count = 0;

  add(ns: number): void {
    if (this.#count === LATENCIES_MAX) return;
    if (this.#count === this.#ns.length) {
      const larger = new Float64Array(this.#ns.length * 4);
      larger.set(this.#ns);
      this.#ns = larger;
    }
    this.#ns[this.#count++] = ns;
  }

  taken(): Float64Array {
    return this.#ns.slice(0, this.#count);
  }
}
