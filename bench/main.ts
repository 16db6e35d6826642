/**
 * The bench: measures every number that Blockferry promises, beside the programs that people use for the same job. A
 * wrong copy ends it with an error; a missed target is told and is no error, since the machine may be to blame.
 */
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import { GiB, MiB, parseBytes } from '../src/core/units.js';
import { cases } from './cases.js';
import { Printer } from './demo-print.js';
import { describeMachine, type Machine } from './machine.js';
import type { BenchCase } from './measure.js';
import { type NamedResult, printCase, printMachine, printSummary } from './table.js';
import { neededBytes, Workspace } from './workspace.js';

const SIZE_STEP_BYTES = 16 * MiB;
const PAIRS_DEFAULT = 9;

const HELP = `usage: npm run bench -- [case ...] [options]

  --pairs <n>      runs of each program, in turn (default: ${PAIRS_DEFAULT})
  --size <bytes>   size of a huge file, a multiple of 16MiB (default: 2GiB)
  --dir <folder>   work in a new folder inside this one (default: ${tmpdir()})
  --json <file>    write every run to this file too

Cases (all of them, when none is named):
${cases.map(({ name, title }) => `  ${name.padEnd(10)} ${title}`).join('\n')}
`;

interface Options {
  readonly chosen: readonly BenchCase[];
  readonly pairs: number;
  readonly sizeBytes: number;
  readonly dir: string;
  readonly json?: string;
}

async function measure(options: Options, print: Printer, signal: AbortSignal): Promise<void> {
  const { chosen, pairs, sizeBytes, dir, json } = options;
  const machine = describeMachine(dir);
  printMachine(print, machine);
  const needed = neededBytes(chosen.map((bench) => bench.sourceBytes(sizeBytes)));
  const workspace = await Workspace.open(dir, needed, signal);
  const results: NamedResult[] = [];
  try {
    for (const { name, title, run } of chosen) {
      print.step(`${name}: ${title}`);
      const result = await run({ workspace, sizeBytes, pairs, print, signal });
      printCase(print, result);
      results.push({ name, title, result });
    }
  } finally {
    await workspace.close();
    // What was measured before an error or Ctrl-C took its time, and is kept.
    if (results.length > 0) printSummary(print, results);
    if (json !== undefined) await writeFile(json, recordOf(options, machine, results));
  }
}

function recordOf({ pairs, sizeBytes }: Options, machine: Machine, results: readonly NamedResult[]): string {
  const measuredAt = new Date(systemClock.wallMs()).toISOString();
  const cases = results.map(({ name, title, result }) => ({ name, title, ...result }));
  return `${JSON.stringify({ schema: 1, measuredAt, machine, pairs, sizeBytes, cases }, undefined, 2)}\n`;
}

function readOptions(): Options | 'help' {
  const known = {
    pairs: { type: 'string', default: String(PAIRS_DEFAULT) },
    size: { type: 'string', default: String(2 * GiB) },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  } as const;
  try {
    const { values, positionals } = parseArgs({ options: known, allowPositionals: true });
    if (values.help) return 'help';
    const pairs = Number(values.pairs);
    if (!Number.isSafeInteger(pairs) || pairs < 1) throw new Error(`--pairs ${values.pairs}: expected a whole number`);
    const sizeBytes = parseBytes(values.size, '--size');
    if (sizeBytes % SIZE_STEP_BYTES !== 0) throw new Error(`--size ${values.size}: expected a multiple of 16MiB`);
    const json = values.json === undefined ? {} : { json: resolve(values.json) };
    return { chosen: choose(positionals), pairs, sizeBytes, dir: resolve(values.dir), ...json };
  } catch (thrown) {
    if (thrown instanceof TransferError) throw thrown;
    throw new TransferError('E_USAGE', String(thrown instanceof Error ? thrown.message : thrown), { hint: HELP });
  }
}

function choose(names: readonly string[]): readonly BenchCase[] {
  const unknown = names.filter((name) => !cases.some((known) => known.name === name));
  if (unknown.length > 0) throw new Error(`no such case: ${unknown.join(', ')}`);
  return names.length === 0 ? cases : cases.filter(({ name }) => names.includes(name));
}

async function main(): Promise<void> {
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stop.abort(new TransferError('E_STOPPED', `the bench was stopped by ${name}`)));
  }
  process.stdout.on('error', (cause) =>
    stop.abort(new TransferError('E_STOPPED', 'nobody reads the output', { cause })),
  );
  try {
    const options = readOptions();
    if (options === 'help') process.stdout.write(HELP);
    else await measure(options, new Printer(process.stdout), stop.signal);
  } catch (thrown) {
    const error = TransferError.from(stop.signal.aborted ? stop.signal.reason : thrown);
    process.stderr.write(`\nerror: ${error.message}\n${error.detail.hint ? `${error.detail.hint}\n` : ''}`);
    process.exitCode = error.exitCode;
  }
}

await main();
