/**
 * `blockferry bench`: asks before it writes much, measures, and tells the result. Whatever happens, its scratch goes
 * before the command ends.
 */
import { createInterface } from 'node:readline/promises';
import {
  type Benchmark,
  type BenchmarkPlan,
  SIZE_BYTES_DEFAULT,
  SIZE_BYTES_MIN,
  UNASKED_BYTES_MAX,
} from '../../benchmark/benchmark.js';
import type { BenchmarkReport } from '../../benchmark/report.js';
import { TransferError } from '../../core/errors.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import { benchmark } from '../../index.js';
import { showPath } from '../../platform/path-bytes.js';
import type { BenchFlags } from '../bench-program.js';
import { EXIT_INTERRUPTED, onInterrupt } from '../follow.js';
import { assertNewFile, writeNewFile } from '../new-file.js';
import { benchLines, progressText } from '../render/bench-table.js';
import { errorLines } from '../render/error-text.js';
import type { Session } from '../session.js';

export async function runBench(session: Session, locations: readonly string[], flags: BenchFlags): Promise<number> {
  const [source = '', target] = locations;
  const { seconds, size, svg } = flags;
  if (svg !== undefined) await assertNewFile('--svg', svg);
  if (size !== undefined && size < SIZE_BYTES_MIN) throw tooSmall(size);
  const bench = await benchmark({
    source,
    ...(target !== undefined && { target }),
    ...(seconds !== undefined && { seconds }),
    ...(size !== undefined && { sizeBytes: size }),
  });
  try {
    const report = await measured(session, bench, flags);
    if (report === undefined) return EXIT_INTERRUPTED;
    if (flags.json) session.out.json(report);
    else for (const line of benchLines(report, locations)) session.out.line(line);
    if (svg !== undefined) await writeNewFile('--svg', svg, await chartOf(report));
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    // Storage that hangs keeps the scratch, and the error says so.
    const lines = session.stuck ? errorLines(thrown, false) : [`blockferry: ${thrown.message}; nothing of it is left`];
    for (const line of lines) session.err.line(line);
    return EXIT_INTERRUPTED;
  }
}

/** Undefined: the question was answered with no. */
async function measured(session: Session, bench: Benchmark, flags: BenchFlags): Promise<BenchmarkReport | undefined> {
  const line = new ProgressLine(session, flags);
  const interrupts = onInterrupt(session, () => {
    line.clear();
    session.err.line('stopping: the scratch files are removed (once more: leave at once)');
    bench.stop();
  });
  try {
    const plan = await bench.prepare();
    if (!(await agreed(session, plan, flags))) return undefined;
    line.begin(plan);
    return await bench.run((progress) => line.show(progressText(progress)));
  } finally {
    line.clear();
    try {
      await bench.close();
    } finally {
      session.stuck ||= bench.stuck;
      interrupts();
    }
  }
}

/** @throws TransferError E_USAGE where there is nobody to ask */
async function agreed(session: Session, plan: BenchmarkPlan, { yes }: BenchFlags): Promise<boolean> {
  if (yes || plan.bytesMax <= UNASKED_BYTES_MAX) return true;
  const where = plan.writes.map(({ name, bytes, freeBytes }) => {
    const free = freeBytes === undefined ? '' : ` (${formatBytes(freeBytes)} free)`;
    return `${formatBytes(bytes)} in ${showPath(name)}${free}`;
  });
  const writes = `bench writes up to ${where.join(' and ')}`;
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new TransferError('E_USAGE', `${writes}, and there is no terminal to ask on`, {
      hint: `Add --yes to agree, or leave --size out to write ${formatBytes(SIZE_BYTES_DEFAULT)} at most.`,
    });
  }
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = asking.question(`${writes}. Go on? [y/N] `);
    // Ctrl-C, Ctrl-D and a closed terminal are a no; none of them ends the line that the question stands on.
    const left = new Promise<undefined>((done) => {
      asking.once('SIGINT', () => done(undefined)).once('close', () => done(undefined));
    });
    const said = await Promise.race([answer, left]);
    if (said === undefined) session.err.line('');
    const agrees = said !== undefined && /^y(es)?$/i.test(said.trim());
    if (!agrees) session.err.line('blockferry: not measured; nothing was written');
    return agrees;
  } finally {
    asking.close();
  }
}

/** One line that is drawn over itself on a terminal; elsewhere one line at the beginning. */
class ProgressLine {
  readonly #session: Session;
  readonly #silent: boolean;
  readonly #terminal: boolean;
  #drawn = false;

  constructor(session: Session, { quiet, json }: BenchFlags) {
    const { isTTY, columns } = session.err.stream;
    this.#session = session;
    this.#silent = (quiet || json) ?? false;
    this.#terminal = Boolean(isTTY && columns) && process.env.TERM !== 'dumb';
  }

  begin({ steps, secondsAbout, bytesMax }: BenchmarkPlan): void {
    const writes = bytesMax > 0 ? `, up to ${formatBytes(bytesMax)} written` : ', nothing written';
    const time = formatDuration(secondsAbout * 1000);
    if (!this.#silent) this.#session.err.line(`measuring: ${steps} steps, about ${time}${writes}`);
  }

  show(text: string): void {
    if (this.#silent || !this.#terminal || !this.#session.err.open) return;
    // The last column stays free: some terminals wrap as soon as it is written.
    const cut = showPath(text).slice(0, (this.#session.err.stream.columns ?? 80) - 1);
    this.#session.err.stream.write(`\r\x1b[2K${cut}`);
    this.#drawn = true;
  }

  clear(): void {
    if (this.#drawn && this.#session.err.open) this.#session.err.stream.write('\r\x1b[2K');
    this.#drawn = false;
  }
}

async function chartOf(report: BenchmarkReport): Promise<string> {
  return (await import('../render/bench-chart.js')).benchChart(report);
}

function tooSmall(size: number): TransferError {
  return new TransferError('E_USAGE', `--size: ${formatBytes(size)} are too few to measure anything`, {
    hint: `Give at least ${formatBytes(SIZE_BYTES_MIN)}.`,
  });
}
