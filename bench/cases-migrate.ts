/** The cases of migrations: how long a machine stands still, beside the bare sequence, and with disks of any size. */
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { GiB, KiB, MiB } from '../src/core/units.js';
import { Seeded } from '../test/support/seeded.js';
import { type Bench, type BenchCase, type CaseResult, leftOut } from './measure.js';
import { type Moved, type MovedByUs, MovingScene } from './moving-scene.js';
import { type Finding, median, ratioFinding, valueFinding } from './statistics.js';

const DISK_BYTES = 64 * MiB;
const HUGE_BYTES = 8 * GiB;
const WRITES = 600;
/** A move takes half a minute, most of which is the start of the guest. */
const PAIRS_MAX = 7;

export const migrateCases: readonly BenchCase[] = [
  {
    name: 'migrate',
    title: 'blackout of a machine with 128 MiB of memory and a delta of 600 records, beside save, copy, load by hand',
    sourceBytes: () => DISK_BYTES,
    pairsMax: PAIRS_MAX,
    onlyWhenNamed: true,
    run: (bench) => withScene(bench, blackout),
  },
  {
    name: 'migrate-size',
    title: 'blackout of a machine with a disk of 8 GiB, mostly a hole, beside one of 64 MiB, with an equal delta',
    sourceBytes: () => DISK_BYTES,
    pairsMax: PAIRS_MAX,
    onlyWhenNamed: true,
    run: (bench) => withScene(bench, bySize),
  },
];

async function withScene(
  bench: Bench,
  run: (bench: Bench, scene: MovingScene) => Promise<CaseResult>,
): Promise<CaseResult> {
  const scene = await MovingScene.open(bench.workspace.folder);
  if (typeof scene === 'string') return leftOut(scene);
  try {
    return await run(bench, scene);
  } finally {
    await scene.close();
  }
}

async function blackout(bench: Bench, scene: MovingScene): Promise<CaseResult> {
  const [ours, bare]: [MovedByUs[], Moved[]] = [[], []];
  // The first one is predicted from what is assumed of any storage.
  await scene.byUs(DISK_BYTES);
  for (let round = 1; round <= bench.pairs; round++) {
    bench.signal.throwIfAborted();
    ours.push(await scene.byUs(DISK_BYTES));
    bare.push(await scene.byHand(DISK_BYTES));
    tell(bench, round, { 'by us': ours, 'by hand': bare });
  }
  const off = ours.map(({ predictedMs, measuredMs }) => Math.abs(predictedMs / measuredMs - 1) * 100);
  const findings = [
    ratioFinding('ours / by hand', gaps(ours), gaps(bare), { kind: 'at most', value: 1.3 }),
    valueFinding('blackout, ours', 's', gaps(ours)),
    valueFinding('blackout, by hand', 's', gaps(bare)),
    valueFinding('the prediction is off by', '%', off, { kind: 'at most', value: 20 }),
    ...deltas('delta, ours', ours),
    ...(await overlays(bench)),
  ];
  return { contenders: [], findings, notes: [`medians of its steps: ${stepsOf(ours)}`] };
}

async function bySize(bench: Bench, scene: MovingScene): Promise<CaseResult> {
  const [small, huge]: [MovedByUs[], MovedByUs[]] = [[], []];
  for (let round = 1; round <= bench.pairs; round++) {
    bench.signal.throwIfAborted();
    huge.push(await scene.byUs(HUGE_BYTES));
    small.push(await scene.byUs(DISK_BYTES));
    tell(bench, round, { '8 GiB': huge, '64 MiB': small });
  }
  const findings = [
    ratioFinding('8 GiB / 64 MiB', gaps(huge), gaps(small), { kind: 'at most', value: 1.2 }),
    ...deltas('delta, 8 GiB', huge),
    ...deltas('delta, 64 MiB', small),
  ];
  return { contenders: [], findings, notes: [] };
}

function stepsOf(moves: readonly MovedByUs[]): string {
  const names = Object.keys(moves[0]?.stepsMs ?? {});
  const told = names.map((name) => `${name} ${median(moves.map(({ stepsMs }) => stepsMs[name] ?? 0))} ms`);
  return told.join(', ');
}

const gaps = (moves: readonly Moved[]): number[] => moves.map(({ gapSeconds }) => gapSeconds);

function deltas(what: string, moves: readonly Moved[]): Finding[] {
  const taken = moves.map(({ deltaTaken }) => deltaTaken / MiB);
  const long = moves.map(({ deltaBytes }) => deltaBytes / MiB);
  return [valueFinding(`${what}: what it takes`, 'MiB', taken), valueFinding(`${what}: its length`, 'MiB', long)];
}

function tell({ print, pairs }: Bench, round: number, sides: Readonly<Record<string, readonly Moved[]>>): void {
  const times = Object.entries(sides).map(([name, moves]) => `${name} ${moves.at(-1)?.gapSeconds.toFixed(3)} s`);
  print.note(`${String(round).padStart(2)}/${pairs}  ${times.join('   ')}`);
}

/** The same writes of 4 KiB, all over a disk of random bytes, in overlays of either kind. */
async function overlays({ workspace }: Bench): Promise<Finding[]> {
  const base = await workspace.source(DISK_BYTES);
  const seeded = new Seeded(WRITES);
  const commands = Array.from({ length: WRITES }, () => {
    return ['-c', `write -q -P 7 ${seeded.int(0, DISK_BYTES / (4 * KiB) - 1) * 4 * KiB} 4k`];
  }).flat();
  const kinds = { 'extended_l2=on': 'extended_l2=on,cluster_size=128k', 'without it': 'cluster_size=64k' };
  return Object.entries(kinds).map(([name, options]) => {
    const path = workspace.path(`overlay ${name}`);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, '-F', 'raw', '-b', base, path]);
    execFileSync('qemu-io', ['-f', 'qcow2', ...commands, path]);
    return valueFinding(`${WRITES} writes of 4 KiB, ${name}`, 'MiB', [(statSync(path).blocks * 512) / MiB]);
  });
}
