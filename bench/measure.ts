/**
 * Runs commands side by side: A B A B, memory warmed and the target gone before each run, content compared after the
 * last. What a case says is derived from these runs and from nothing else.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { MiB } from '../src/core/units.js';
import type { Printer } from './demo-print.js';
import { measuredRun, type RunCost } from './resource-use.js';
import type { Bound, Finding } from './statistics.js';
import { ratioFinding } from './statistics.js';
import { warmMemory } from './warm-memory.js';
import type { Workspace } from './workspace.js';

/** Beside the pages of the target, for the programs themselves. */
const PROGRAM_BYTES = 256 * MiB;

const MAIN = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));

/** What the cases share. */
export interface Bench {
  readonly workspace: Workspace;
  /** Bytes of a huge file. */
  readonly sizeBytes: number;
  readonly pairs: number;
  /** Everything small, to see whether it runs: what it measures means nothing. */
  readonly quick: boolean;
  /** Where a case that has one draws what happened over time. */
  readonly plot?: string | undefined;
  readonly print: Printer;
  readonly signal: AbortSignal;
}

export interface Contender {
  readonly name: string;
  /** Program and arguments. */
  readonly argv: readonly string[];
  readonly target: string;
  /** The program without which it cannot run; absent: always there. */
  readonly tool?: string;
}

export interface ContenderResult {
  readonly name: string;
  readonly runs: readonly RunCost[];
}

export interface CaseResult {
  readonly contenders: readonly ContenderResult[];
  readonly findings: readonly Finding[];
  /** Plain sentences: what was left out, and why. */
  readonly notes: readonly string[];
}

export interface BenchCase {
  readonly name: string;
  /** What is measured, and how, in one line. */
  readonly title: string;
  /** Bytes that the sources of the case take on the disk. */
  readonly sourceBytes: (sizeBytes: number) => number;
  /** More runs than this would take too long. */
  readonly pairsMax?: number;
  /** It takes long, and runs only when it is named. */
  readonly onlyWhenNamed?: boolean;
  readonly run: (bench: Bench) => Promise<CaseResult>;
}

/** Options of ours: blocks that the two files share would cost no copying, and our peers share none. */
export const NOT_SHARED: readonly string[] = ['--reflink', 'never'];

export function blockferry(args: readonly string[], target: string, name = 'blockferry'): Contender {
  return { name, argv: copyCommand(...NOT_SHARED, ...args, target), target };
}

/** `blockferry copy …`, as a user starts it: a new process each time. */
export function copyCommand(...args: readonly string[]): readonly string[] {
  return command('copy', '--quiet', ...args);
}

export function command(...args: readonly string[]): readonly string[] {
  return [process.execPath, MAIN, ...args];
}

function hasTool(tool: string): boolean {
  return spawnSync('sh', ['-c', 'command -v "$0"', tool]).status === 0;
}

export function isPresent({ tool }: Pick<Contender, 'tool'>): boolean {
  return tool === undefined || hasTool(tool);
}

/** Why Blockferry cannot do this here, in its own words, or undefined when it can. */
export function refusal(args: readonly string[]): string | undefined {
  const [program = '', ...rest] = copyCommand(...args);
  const said = spawnSync(program, rest, { encoding: 'utf8', stdio: ['ignore', 'ignore', 'pipe'] });
  return said.status === 0
    ? undefined
    : said.stderr
        .trim()
        .split('\n')[0]
        ?.replace(/^blockferry: /, '') || `it ended with ${said.status}`;
}

/** The result of a case that cannot be measured here. */
export function leftOut(reason: string): CaseResult {
  return { contenders: [], findings: [], notes: [`left out: ${reason}`] };
}

export interface Series {
  /** Ours first. */
  readonly contenders: readonly Contender[];
  /** Read before each run, so that all find it in the page cache. */
  readonly cached?: string;
  /** What each run will take of the page cache. */
  readonly warmBytes: number;
  /** Each run finds the target that is there. Default: each makes it anew. */
  readonly keepTargets?: boolean;
  /**
   * Targets are moved aside until the bench ends, and not removed between runs: ext4 searches long for inodes where
   * thousands were freed within the last minute, which would be measured instead of the copies.
   */
  readonly setAside?: boolean;
  /** Makes what the run will change, once the target of the run before is gone. It is not measured. */
  readonly prepare?: (target: string) => Promise<void>;
  /** Throws unless the target is right. */
  readonly check: (target: string) => Promise<void>;
}

/** All contenders in turn, each target compared and removed after the last run; see {@link runRounds}. */
export async function runSeries(bench: Bench, series: Series): Promise<ContenderResult[]> {
  const results = await runRounds(bench, series);
  for (const { target } of series.contenders.filter(isPresent)) {
    await series.check(target);
    await clear(bench.workspace, series, target);
  }
  return results;
}

/** As many rounds as the bench has pairs; those without their program are left out. The targets stay. */
export async function runRounds(bench: Bench, series: Series): Promise<ContenderResult[]> {
  const { print, pairs } = bench;
  const present = series.contenders.filter(isPresent);
  const results = present.map(({ name }) => ({ name, runs: [] as RunCost[] }));
  for (let round = 1; round <= pairs; round++) {
    for (const [index, contender] of present.entries()) {
      results[index]?.runs.push(await runOnce(bench, series, contender));
    }
    const times = results.map(({ name, runs }) => `${name} ${runs.at(-1)?.wallSeconds.toFixed(3)} s`);
    print.note(`${String(round).padStart(2)}/${pairs}  ${times.join('   ')}`);
  }
  return results;
}

async function clear(workspace: Workspace, { setAside }: Series, target: string): Promise<void> {
  if (setAside) await workspace.setAside(target);
  else await workspace.remove(target);
}

async function runOnce(bench: Bench, series: Series, { argv, target }: Contender): Promise<RunCost> {
  const { workspace, signal, quick } = bench;
  if (!series.keepTargets) await clear(workspace, series, target);
  await series.prepare?.(target);
  if (series.cached !== undefined) await workspace.readThrough(series.cached);
  if (!quick) await warmMemory(series.warmBytes + PROGRAM_BYTES, signal);
  return measuredRun({ argv, scratch: workspace.path('resource-use'), signal });
}

export type Over = 'ours / theirs' | 'theirs / ours';

/** The ratio of wall times between the first contender and another; nothing when the other was left out. */
export function compareWith(
  results: readonly ContenderResult[],
  theirName: string,
  over: Over,
  bound?: Bound,
): readonly Finding[] {
  const [ours, theirs] = [results[0], results.find(({ name }) => name === theirName)];
  if (ours === undefined || theirs === undefined) return [];
  const [top, bottom] = over === 'ours / theirs' ? [ours, theirs] : [theirs, ours];
  return [ratioFinding(`${top.name} / ${bottom.name}`, wallTimes(top), wallTimes(bottom), bound)];
}

export function wallTimes(result: ContenderResult | undefined): readonly number[] {
  return result?.runs.map((run) => run.wallSeconds) ?? [];
}

export function peaksMiB(result: ContenderResult | undefined): readonly number[] {
  return result?.runs.map((run) => run.peakRssBytes / MiB) ?? [];
}
