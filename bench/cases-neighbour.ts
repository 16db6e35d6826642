/**
 * What a copy does to those who use the same disk, beside other movers: a victim works on a disk whose ceiling is known
 * while each of them copies there. All find cold caches, and share the ceiling.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { KiB, MiB } from '../src/core/units.js';
import { type Bench, type BenchCase, type CaseResult, copyCommand, isPresent, leftOut, NOT_SHARED } from './measure.js';
import { type Beside, beside, fioVictim, SOURCE, sqliteVictim, type Times, type Victim } from './neighbours.js';
import { cp, rsync } from './peers.js';
import { type Bound, type Finding, median, valueFinding } from './statistics.js';
import { CEILING, ThrottledDisk } from './throttled-disk.js';
import { renderTimelines } from './timeline.js';

const SOURCE_BYTES = 1000 * MiB;
const DISK_BYTES = 2500 * MiB;
const TARGET = 'target.img';
const ROUNDS_MAX = 5;
const FULL: Times = { leadMs: 3000, victimSeconds: 8, tailMs: 4000 };
const QUICK: Times = { leadMs: 1500, victimSeconds: 2, tailMs: 1500 };

type Ends = readonly [source: string, target: string];

interface Mover {
  readonly name: string;
  readonly argv: ((ends: Ends) => readonly string[]) | undefined;
  readonly victims: readonly Victim[];
}

const ours = (name: string, ...flags: readonly string[]): Mover => ({
  name,
  argv: (ends) => copyCommand(...NOT_SHARED, ...flags, ...ends),
  victims: [fioVictim, sqliteVictim],
});

const ALONE: Mover = { name: 'alone', argv: undefined, victims: [fioVictim, sqliteVictim] };
const CP: Mover = { name: 'cp', argv: (ends) => cp.argv(...ends), victims: [fioVictim, sqliteVictim] };
const GENTLE = ours('--yield gentle', '--yield', 'gentle');
const FAIR = ours('--yield fair', '--yield', 'fair');
const GREEDY = ours('--yield greedy', '--yield', 'greedy');
const PROTECT = ours('--protect latency=10ms', '--protect', 'latency=10ms');
const IONICE: Mover = {
  name: 'ionice -c3 cp',
  argv: (ends) => ['ionice', '-c3', ...cp.argv(...ends)],
  victims: [fioVictim],
};
const PLAIN: Mover = { ...ours('blockferry'), victims: [fioVictim] };

export const neighbourCase: BenchCase = {
  name: 'neighbour',
  title: 'a neighbour on a disk of 60 MiB/s: fio and SQLite beside cp, ionice, rsync --bwlimit, and each --yield',
  sourceBytes: () => 0,
  pairsMax: ROUNDS_MAX,
  onlyWhenNamed: true,
  run: async (bench) => {
    const disk = ThrottledDisk.open(bench.workspace.folder, DISK_BYTES);
    if (typeof disk === 'string') return leftOut(disk);
    try {
      execFileSync('dd', ['if=/dev/urandom', `of=${disk.path(SOURCE)}`, 'bs=1M', `count=${SOURCE_BYTES / MiB}`], {
        stdio: 'ignore',
      });
      for (const victim of [fioVictim, sqliteVictim]) victim.make(disk);
      return await new Neighbourhood(bench, disk).measure();
    } finally {
      disk.close();
    }
  },
};

class Neighbourhood {
  readonly #bench: Bench;
  readonly #disk: ThrottledDisk;
  readonly #seen = new Map<string, Beside[]>();

  constructor(bench: Bench, disk: ThrottledDisk) {
    this.#bench = bench;
    this.#disk = disk;
  }

  async measure(): Promise<CaseResult> {
    for (let round = 1; round <= this.#bench.pairs; round++) {
      for (const mover of [ALONE, CP, IONICE, PLAIN, GENTLE, FAIR, GREEDY, PROTECT]) await this.#run(mover);
      // At the mean rate that ours just had beside the neighbour.
      if (isPresent(rsync)) await this.#run(this.#rsync());
    }
    if (this.#bench.plot !== undefined) writeFileSync(this.#bench.plot, this.#plot());
    return { contenders: [], findings: this.#findings(), notes: [] };
  }

  /** The last round. */
  #plot(): string {
    const plots = [CP, PLAIN, { name: 'rsync --bwlimit' }, GREEDY, FAIR, GENTLE, PROTECT].flatMap(({ name }) => {
      const seen = this.#all(fioVictim, { name }).at(-1);
      return seen ? [{ name, ...seen }] : [];
    });
    return renderTimelines(plots, CEILING);
  }

  #rsync(): Mover {
    const rate = this.#last(fioVictim, GENTLE).during;
    const argv = (ends: Ends): readonly string[] => [
      ...['rsync', `--bwlimit=${Math.round(rate / KiB)}`, '--whole-file', '--inplace'],
      ...ends,
    ];
    return { name: 'rsync --bwlimit', argv, victims: [fioVictim] };
  }

  async #run({ name, argv, victims }: Mover): Promise<void> {
    const { workspace, signal, quick, print } = this.#bench;
    for (const victim of victims) {
      const target = this.#disk.path(TARGET);
      execFileSync('sh', ['-c', 'rm -f "$0"/*target.img*  "$0"/.*target.img*', this.#disk.folder]);
      await workspace.remove(target);
      const command = argv?.([this.#disk.path(SOURCE), target]);
      const result = await beside(this.#disk, victim, command, quick ? QUICK : FULL, signal);
      const key = keyOf(victim, name);
      this.#seen.set(key, [...(this.#seen.get(key) ?? []), result]);
      const rates = [result.before, result.during, result.after].map((rate) => (rate / 1e6).toFixed(1));
      const given = `gave way in ${result.gaveWayMs.toFixed(0)} ms, back in ${result.backMs.toFixed(0)} ms`;
      const [p50, p99] = [result.p50, result.p99].map((ms) => ms.toFixed(2));
      const times = `p50 ${p50} ms, p99 ${p99} ms, ${result.requestsPerSecond.toFixed(0)}/s`;
      print.note(`${key}: ${times}${command ? `; mover ${rates.join(' / ')} MB/s, ${given}` : ''}`);
    }
  }

  #all(victim: Victim, mover: Pick<Mover, 'name'>): readonly Beside[] {
    return this.#seen.get(keyOf(victim, mover.name)) ?? [];
  }

  #last(victim: Victim, mover: Mover): Beside {
    return this.#all(victim, mover).at(-1) as Beside;
  }

  #findings(): readonly Finding[] {
    return [...this.#percentiles(), ...this.#promises(), ...this.#idle()];
  }

  #percentiles(): readonly Finding[] {
    return [...this.#seen].flatMap(([key, results]) => {
      const p99 = results.map((result) => result.p99);
      const bound: Bound | undefined =
        key === keyOf(fioVictim, PROTECT.name) ? { kind: 'at most', value: 13 } : undefined;
      const moved = results.map(({ during }) => (during / CEILING) * 100);
      const found = [valueFinding(`${key}: p99 of the victim`, 'ms', p99, bound)];
      if (!key.endsWith('alone'))
        found.push(valueFinding(`${key}: mover, of the ceiling`, '%', moved, AT_LEAST_NOTHING));
      return found;
    });
  }

  #promises(): readonly Finding[] {
    const p99 = (mover: Pick<Mover, 'name'>) => this.#all(fioVictim, mover).map((result) => result.p99);
    const over = (what: string, mover: Mover, other: Pick<Mover, 'name'>, value: number): Finding =>
      valueFinding(what, '%', shares(p99(mover), p99(other)), { kind: 'at most', value });
    const alone = this.#all(fioVictim, ALONE).map(({ requestsPerSecond }) => requestsPerSecond);
    const kept = this.#all(fioVictim, GENTLE).map(({ requestsPerSecond }) => requestsPerSecond);
    const spare = (mover: Mover): readonly number[] =>
      this.#all(fioVictim, mover).map(({ during }) => (during / (CEILING - 4 * KiB * median(alone))) * 100);
    const rsyncs = this.#all(fioVictim, { name: 'rsync --bwlimit' });
    return [
      over('gentle: p99 of the victim, of that beside cp', GENTLE, CP, 10),
      over('fair: p99 of the victim, of that beside cp', FAIR, CP, 25),
      ...(rsyncs.length > 0
        ? [over('gentle: p99 of the victim, of that beside rsync', GENTLE, { name: 'rsync --bwlimit' }, 100)]
        : []),
      valueFinding('gentle: requests of the victim, of those alone', '%', shares(kept, alone), atLeast(90)),
      valueFinding('gentle: mover, of what the victim leaves', '%', spare(GENTLE), atLeast(60)),
      valueFinding('fair: mover, of what the victim leaves', '%', spare(FAIR), atLeast(80)),
    ];
  }

  #idle(): readonly Finding[] {
    return [GENTLE, FAIR, GREEDY, PROTECT].flatMap((mover) => {
      const results = this.#all(fioVictim, mover);
      const before = results.map((result) => (result.before / CEILING) * 100);
      const found = [valueFinding(`${mover.name}: mover without a victim, of the ceiling`, '%', before, atLeast(90))];
      // What a greedy one gives up is less than a rate varies.
      if (mover === GREEDY) return found;
      const seconds = (key: 'gaveWayMs' | 'backMs') => results.map((result) => result[key] / 1000);
      return [
        ...found,
        valueFinding(`${mover.name}: gives way`, 's', seconds('gaveWayMs'), { kind: 'at most', value: 1 }),
        valueFinding(`${mover.name}: is back`, 's', seconds('backMs'), { kind: 'at most', value: 5 }),
      ];
    });
  }
}

const AT_LEAST_NOTHING: Bound = { kind: 'at least', value: 0 };

function atLeast(value: number): Bound {
  return { kind: 'at least', value };
}

function keyOf(victim: Victim, mover: string): string {
  return `${victim.name}, ${mover}`;
}

/** In percent, round by round. */
function shares(top: readonly number[], bottom: readonly number[]): readonly number[] {
  return top.map((value, round) => (value / (bottom[round] ?? Number.NaN)) * 100);
}
