/** The cases of the service: what it adds to a copy, how fast it answers and preempts, and what it takes when idle. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { nowMs, systemClock } from '../src/core/clock.js';
import { KiB, MiB } from '../src/core/units.js';
import type { ServiceClient } from '../src/daemon/client.js';
import type { JobSpec, JobView } from '../src/service/job-service.js';
import { type ServiceHost, startServiceHost } from '../test/support/service-host.js';
import { assertSame } from './compare.js';
import { type Bench, type BenchCase, blockferry, compareWith, runSeries } from './measure.js';
import { type Finding, valueFinding, worstFinding } from './statistics.js';

const JOB = fileURLToPath(new URL('./service-job.js', import.meta.url));

const addsCase: BenchCase = {
  name: 'service',
  title: 'one job of a service that runs, beside copy --no-sync of the same file',
  sourceBytes: (size) => size,
  run: async (bench) => {
    const source = await bench.workspace.source(bench.sizeBytes);
    const host = await startServiceHost();
    const [ours, alone] = ['job', 'copy'].map((name) => bench.workspace.path(name)) as [string, string];
    const contenders = [
      { name: 'job', argv: [process.execPath, JOB, host.socketPath, source, ours], target: ours },
      blockferry(['--no-sync', source], alone, 'copy'),
    ];
    const check = (target: string): Promise<void> => assertSame(source, target, bench.signal);
    try {
      const results = await runSeries(bench, { contenders, cached: source, warmBytes: bench.sizeBytes, check });
      const findings = compareWith(results, 'copy', 'ours / theirs', { kind: 'at most', value: 1.05 });
      return { contenders: results, findings, notes: [] };
    } finally {
      await host.stop();
    }
  },
};

const LIMITED_JOBS = 20;
const QUEUED_JOBS = 10_000;
const RATE = 2 * MiB;
const CALLS = 400;
const EVENTS = 100;
const PREEMPTIONS = 20;
/** A start leaves garbage that is collected within half a minute; what is asked is what comes after. */
const SETTLE_MS = 30_000;
const IDLE_MS = 60_000;
const TICKS_PER_SECOND = 100;

const answersCase: BenchCase = {
  name: 'service-answers',
  title: 'a service with 20 limited jobs: calls, events, preemption; with 10,000 queued; and idle',
  sourceBytes: () => 64 * MiB,
  run: async (bench) => {
    const findings = [...(await busy(bench)), ...(await crowded(bench)), ...(await idle(bench))];
    return { contenders: [], findings, notes: [] };
  },
};

async function withHost<T>(args: readonly string[], work: (host: ServiceHost) => Promise<T>): Promise<T> {
  const host = await startServiceHost(args);
  try {
    return await work(host);
  } finally {
    await host.stop();
  }
}

function spec(name: string, source: string, target: string, more: Partial<JobSpec> = {}): JobSpec {
  return { name, files: [{ source, target }], options: { reflink: 'never', sync: false }, ...more };
}

/** Milliseconds, as seconds. */
const seconds = (ms: readonly number[]): number[] => ms.map((one) => one / 1000);

function percentile99(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))] ?? Number.NaN;
}

async function until(client: ServiceClient, id: string, reached: (job: JobView) => boolean): Promise<void> {
  while (!reached(await client.get(id))) await systemClock.sleep(2);
}

function busy({ workspace }: Bench): Promise<Finding[]> {
  return withHost([], async ({ client }) => {
    const source = await workspace.source(64 * MiB);
    const names = Array.from({ length: LIMITED_JOBS }, (_, at) => `limited-${at}`);
    const limits = { limitBytesPerSecond: RATE, priority: 'foreground' } as const;
    for (const name of names) await client.create(spec(name, source, workspace.path(name), limits));
    await systemClock.sleep(2000);
    const calls: number[] = [];
    for (let call = 0; call < CALLS; call++) {
      const before = nowMs(systemClock);
      await client.list();
      calls.push(nowMs(systemClock) - before);
    }
    const events = await eventDelays(client, source, workspace.path('never'));
    const preemptions = await preemptionDelays(client, source, workspace.path('low'), workspace.path('high'));
    for (const { id } of await client.list()) await client.cancel(id, { keepPartial: false });
    return [
      worstFinding('a call, 99th percentile', 's', seconds([percentile99(calls)]), { kind: 'at most', value: 0.025 }),
      worstFinding('an event reaches a listener', 's', seconds(events), { kind: 'at most', value: 0.1 }),
      worstFinding('a preempted job stands still', 's', seconds(preemptions), { kind: 'at most', value: 0.25 }),
    ];
  });
}

/** From the moment that the service writes into an event to its arrival: both read the clock of this machine. */
async function eventDelays(client: ServiceClient, source: string, target: string): Promise<number[]> {
  const { id } = await client.create(spec('told', source, target, { suspended: true }));
  const { lastEventId } = (await client.service()).load;
  const delays: number[] = [];
  const stop = new AbortController();
  const changes = (async () => {
    for (let change = 0; change < EVENTS; change++) {
      await client.resume(id);
      await client.suspend(id);
    }
  })();
  for await (const { event } of client.events({ job: id, after: lastEventId }, stop.signal)) {
    delays.push(systemClock.wallMs() - event.at);
    if (delays.length >= EVENTS) break;
  }
  stop.abort();
  await changes;
  await client.cancel(id, { keepPartial: false });
  return delays;
}

/** From the call that makes the higher job to the last byte of the lower one before it stands still. */
async function preemptionDelays(client: ServiceClient, source: string, low: string, high: string): Promise<number[]> {
  const policy = (await client.policy()).text;
  await client.setPolicy(policy.replace(/^jobs_at_once = .*$/m, 'jobs_at_once = 1'));
  const delays: number[] = [];
  const slow = { limitBytesPerSecond: 64 * KiB };
  for (let turn = 0; turn < PREEMPTIONS; turn++) {
    const lower = await client.create(spec('low', source, low, { ...slow, priority: 'low' }));
    await until(client, lower.id, ({ state }) => state === 'transferring');
    const before = nowMs(systemClock);
    const higher = await client.create(spec('high', source, high, { ...slow, priority: 'high' }));
    await until(client, lower.id, ({ state }) => state === 'queued');
    delays.push(nowMs(systemClock) - before);
    for (const { id } of [higher, lower]) await client.cancel(id, { keepPartial: false });
  }
  await client.setPolicy(policy);
  return delays;
}

function crowded({ workspace }: Bench): Promise<Finding[]> {
  return withHost([], async (host) => {
    const { client } = host;
    const target = workspace.path('queued');
    for (let from = 0; from < QUEUED_JOBS; from += 100) {
      const batch = Array.from({ length: 100 }, (_, at) => spec(`queued-${from + at}`, '/nowhere', `${target}-${at}`));
      await Promise.all(batch.map((one) => client.create({ ...one, suspended: true })));
    }
    const lists: number[] = [];
    for (let call = 0; call < 10; call++) {
      const before = nowMs(systemClock);
      await client.list();
      lists.push(nowMs(systemClock) - before);
    }
    await host.kill();
    const before = nowMs(systemClock);
    await host.start();
    const started = nowMs(systemClock) - before;
    return [
      worstFinding('10,000 jobs: the start', 's', seconds([started]), { kind: 'at most', value: 2 }),
      valueFinding('10,000 jobs: the list', 's', seconds(lists), { kind: 'at most', value: 0.1 }),
    ];
  });
}

function idle({ quick }: Bench): Promise<Finding[]> {
  return withHost([], async ({ pid }) => {
    await systemClock.sleep(quick ? 100 : SETTLE_MS);
    const before = cpuSeconds(pid);
    const waitedMs = quick ? 500 : IDLE_MS;
    await systemClock.sleep(waitedMs);
    const share = ((cpuSeconds(pid) - before) / (waitedMs / 1000)) * 100;
    return [
      worstFinding('idle: memory', 'MiB', [residentMiB(pid)], { kind: 'at most', value: 120 }),
      worstFinding('idle: processor', '%', [share], { kind: 'at most', value: 0.5 }),
    ];
  });
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

function residentMiB(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return (Number(kib) * KiB) / MiB;
}

export const serviceCases: readonly BenchCase[] = [addsCase, answersCase];
