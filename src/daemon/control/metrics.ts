/** What Prometheus may ask for: jobs, bytes and rates by class, scheduler, store, the door itself and the process. */
import { readdirSync } from 'node:fs';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { errnoOf } from '../../core/errors.js';
import type { JobService, ServiceTotals } from '../../service/job-service.js';
import type { EventStreams } from './event-streams.js';

export interface Asked {
  /** As it was declared, such as `/v1/jobs/:id`: as many series as there are routes. */
  readonly route: string;
  readonly method: string;
  readonly status: number;
  readonly ms: number;
}

const SECOND_MS = 1000;
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30];

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Counter({
    ...{ name: 'blockferry_http_requests_total', help: 'Requests that were answered.', registers: [this.#registry] },
    labelNames: ['route', 'method', 'status'] as const,
  });
  readonly #seconds = new Histogram({
    ...{ name: 'blockferry_http_request_seconds', help: 'How long answers took.', registers: [this.#registry] },
    labelNames: ['route'] as const,
    buckets: BUCKETS_SECONDS,
  });

  constructor(service: JobService, streams: EventStreams) {
    this.#addService(service);
    // What a service does not count is not told: a 0 would be taken for a measurement.
    if (service.load().totals) this.#addTotals(() => service.load().totals ?? NO_TOTALS);
    this.#addStreams(streams);
    this.#addProcess(service.load().startedAt);
  }

  readonly contentType = this.#registry.contentType;

  asked({ route, method, status, ms }: Asked): void {
    this.#requests.inc({ route, method, status });
    this.#seconds.observe({ route }, ms / SECOND_MS);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #addService(service: JobService): void {
    this.#table('blockferry_jobs', 'Jobs in each state.', 'state', () => service.load().states);
    const help = 'What is copied now, by priority, over the last few seconds.';
    this.#table('blockferry_rate_bytes_per_second', help, 'priority', () => service.load().rates);
    this.#gauge('blockferry_last_event_id', 'Number of the last event.', () => service.load().lastEventId);
  }

  #addTotals(totals: () => ServiceTotals): void {
    const name = 'blockferry_copied_bytes_total';
    const bytes = new Counter({
      ...{ name, help: 'What was copied since the start, by priority.', registers: [this.#registry] },
      labelNames: ['priority'] as const,
      collect: () => {
        bytes.reset();
        for (const [priority, value] of Object.entries(totals().bytes)) bytes.inc({ priority }, value);
      },
    });
    const add = (suffix: string, help: string, of: (all: ServiceTotals) => number): void =>
      this.#counter(`blockferry_${suffix}_total`, help, () => of(totals()));
    add('scheduler_decisions', 'How often it was decided which jobs run.', (all) => all.decisions);
    add('scheduler_seconds', 'Time that took.', (all) => all.decisionMs / SECOND_MS);
    add('store_writes', 'Writes to the database.', (all) => all.storeWrites);
    add('store_write_seconds', 'Time those took.', (all) => all.storeWriteMs / SECOND_MS);
  }

  #addStreams(streams: EventStreams): void {
    this.#gauge('blockferry_event_streams', 'Event streams that are open.', () => streams.open);
    const help = 'Event streams that were dropped since nobody read them.';
    this.#counter('blockferry_event_streams_dropped_total', help, () => streams.dropped);
  }

  /** Asked for when they are wanted: a library's own would wake the idle daemon a hundred times a second. */
  #addProcess(startedAt: number): void {
    const cpu = (): number => (process.cpuUsage().user + process.cpuUsage().system) / 1e6;
    this.#counter('process_cpu_seconds_total', 'Time of the processor.', cpu);
    this.#gauge('process_resident_memory_bytes', 'Memory.', () => process.memoryUsage.rss());
    this.#gauge('nodejs_heap_size_used_bytes', 'Heap.', () => process.memoryUsage().heapUsed);
    this.#gauge('process_open_fds', 'Open files and connections.', openFiles);
    this.#gauge('process_start_time_seconds', 'Since 1970.', () => startedAt / SECOND_MS);
  }

  #gauge(name: string, help: string, value: () => number): void {
    const collect = (): void => gauge.set(value());
    const gauge: Gauge = new Gauge({ name, help, registers: [this.#registry], collect });
  }

  #counter(name: string, help: string, value: () => number): void {
    const collect = (): void => {
      counter.reset();
      counter.inc(value());
    };
    const counter = new Counter({ name, help, registers: [this.#registry], collect });
  }

  #table(name: string, help: string, label: string, values: () => Readonly<Record<string, number>>): void {
    const collect = (): void => {
      for (const [key, value] of Object.entries(values())) gauge.set({ [label]: key }, value);
    };
    const gauge = new Gauge({ name, help, labelNames: [label], registers: [this.#registry], collect });
  }
}

const NO_TOTALS: ServiceTotals = {
  bytes: { foreground: 0, high: 0, normal: 0, low: 0 },
  ...{ decisions: 0, decisionMs: 0, storeWrites: 0, storeWriteMs: 0 },
};

/** 0 where the system does not tell. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length;
  } catch (thrown) {
    if (errnoOf(thrown) === undefined) throw thrown;
    return 0;
  }
}
