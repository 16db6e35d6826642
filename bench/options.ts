/** What can be asked of the bench, and how. What cannot be understood is refused before anything is measured. */
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { TransferError } from '../src/core/errors.js';
import { GiB, MiB, parseBytes } from '../src/core/units.js';
import { cases } from './cases.js';
import type { BenchCase } from './measure.js';

const SIZE_STEP_BYTES = 16 * MiB;
const SIZE_BYTES_DEFAULT = 2 * GiB;
const PAIRS_DEFAULT = 9;
const QUICK = { sizeBytes: 64 * MiB, pairs: 2 };

/** The compiled bench is in dist/bench. */
const PROJECT = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '..' : '../..', import.meta.url));
/** What --record writes: the numbers that README tells. */
export const BASELINE = resolve(PROJECT, 'bench/baseline.json');
export const CHART = resolve(PROJECT, 'docs/bench.svg');

const HELP = `usage: npm run bench -- [case ...] [options]

Measures:
  --pairs <n>      runs of each program, in turn (default: ${PAIRS_DEFAULT}; trees at most 7)
  --size <bytes>   size of a huge file, a multiple of 16MiB (default: 2GiB)
  --quick          everything small and twice, to see whether it runs; no claim
  --dir <folder>   work in a new folder inside this one (default: ${tmpdir()})

Tells:
  --against <file> compare with these results (default: bench/baseline.json, when it is there)
  --json <file>    write every run to this file
  --html <file>    write one page with charts and tables, which needs nothing else
  --chart <file>   write the chart that README shows, as SVG
  --plot <file>    draw what movers did beside a neighbour, second by second, as SVG
  --table          print README's table
  --record         put the cases that were measured into bench/baseline.json, and draw docs/bench.svg from it
  --from <file>    measure nothing: tell all this of the results in a file that --json or --record wrote

Cases (all but those in brackets, when none is named):
${cases.map(caseLine).join('\n')}
`;

function caseLine({ name, title, onlyWhenNamed }: BenchCase): string {
  return `  ${(onlyWhenNamed ? `(${name})` : name).padEnd(18)} ${title}`;
}

export interface Options {
  readonly chosen: readonly BenchCase[];
  readonly pairs: number;
  readonly sizeBytes: number;
  readonly quick: boolean;
  readonly dir: string;
  readonly against?: string;
  readonly json?: string;
  readonly html?: string;
  readonly chart?: string;
  readonly plot?: string;
  readonly table: boolean;
  readonly record: boolean;
  readonly from?: string;
}

const KNOWN = {
  pairs: { type: 'string' },
  size: { type: 'string' },
  quick: { type: 'boolean', default: false },
  dir: { type: 'string', default: tmpdir() },
  against: { type: 'string' },
  json: { type: 'string' },
  html: { type: 'string' },
  chart: { type: 'string' },
  plot: { type: 'string' },
  table: { type: 'boolean', default: false },
  record: { type: 'boolean', default: false },
  from: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** What was asked for, or the help. @throws TransferError E_USAGE */
export function readOptions(args: readonly string[]): Options | { readonly help: string } {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: KNOWN, allowPositionals: true });
    if (values.help) return { help: HELP };
    const { quick, table, record } = values;
    const defaults = quick ? QUICK : { sizeBytes: SIZE_BYTES_DEFAULT, pairs: PAIRS_DEFAULT };
    const pairs = values.pairs === undefined ? defaults.pairs : Number(values.pairs);
    if (!Number.isSafeInteger(pairs) || pairs < 1) throw new Error(`--pairs ${values.pairs}: expected a whole number`);
    const sizeBytes = values.size === undefined ? defaults.sizeBytes : parseBytes(values.size, '--size');
    if (sizeBytes % SIZE_STEP_BYTES !== 0) throw new Error(`--size ${values.size}: expected a multiple of 16MiB`);
    if (values.from !== undefined && record) throw new Error('--record takes what is measured now, and not --from');
    const paths = (['against', 'json', 'html', 'chart', 'plot', 'from'] as const).flatMap((name) => {
      const path = values[name];
      return path === undefined ? [] : [[name, resolve(path)] as const];
    });
    const files = Object.fromEntries(paths) as Partial<Record<(typeof paths)[number][0], string>>;
    return { chosen: choose(positionals), pairs, sizeBytes, quick, table, record, dir: resolve(values.dir), ...files };
  } catch (thrown) {
    if (thrown instanceof TransferError) throw thrown;
    throw new TransferError('E_USAGE', String(thrown instanceof Error ? thrown.message : thrown), { hint: HELP });
  }
}

function choose(names: readonly string[]): readonly BenchCase[] {
  const unknown = names.filter((name) => !cases.some((known) => known.name === name));
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(', ')}`);
  return cases.filter(({ name, onlyWhenNamed }) => (names.length === 0 ? !onlyWhenNamed : names.includes(name)));
}
