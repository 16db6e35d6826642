/**
 * The service's door: HTTP over a Unix socket for whoever has this user's rights, and over TCP for whoever has a token.
 */
import { createServer, type Server, type ServerOptions } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { isIP } from 'node:net';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { type Clock, systemClock } from '../../core/clock.js';
import type { TransferError } from '../../core/errors.js';
import { KiB } from '../../core/units.js';
import type { MigrationService } from '../../migrate/migration-service.js';
import type { JobService } from '../../service/job-service.js';
import { Access } from './access.js';
import { type ControlApp, makeApp } from './app.js';
import { EventStreams, type StreamLimits } from './event-streams.js';
import { addJobRoutes } from './job-routes.js';
import { assertLoopback, type HeldSocket, listenOnAddress, listenOnSocket } from './listen.js';
import { type Log, logEvents, openLog } from './log.js';
import { addMachineRoutes, type MachineHost } from './machine-routes.js';
import { Metrics } from './metrics.js';
import { addMigrationRoutes } from './migration-routes.js';
import { addPage, readPage } from './page.js';
import { addServiceRoutes, EVENTS_ROUTE } from './service-routes.js';

export interface ControlOptions {
  readonly service: JobService;
  /** Absent: this service moves no machines. */
  readonly migrations?: MigrationService;
  /** Absent: machines are moved, and not listed. */
  readonly machines?: MachineHost;
  readonly version: string;
  /** Made 0600, in a folder where nobody else may write; that is made 0700 where there is none. */
  readonly socketPath: string;
  /** Absent: the socket alone. */
  readonly http?: ControlHttp;
  /** The folder of tokens.json, as in `daemonFolder()`. */
  readonly tokens: string;
  /** The folder of the page's built files: `index.html` and `assets`. Absent: no page. */
  readonly page?: string;
  /** The folder of the log. Absent: none is kept. */
  readonly log?: string;
  readonly clock?: Clock;
  readonly limits?: Partial<ControlLimits>;
}

export interface ControlHttp {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM, as an `Identity` has it. Absent: plain, which only a loopback address may be. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** What the Host header may say beside addresses and `localhost`. */
  readonly names?: readonly string[];
}

export interface ControlLimits extends StreamLimits {
  readonly connectionsMax: number;
  /** A request must be here so soon: its head, and all of it. */
  readonly headMs: number;
  readonly requestMs: number;
}

export interface ControlServer {
  readonly socketPath: string;
  /** Where it listens for HTTP, such as `https://127.0.0.1:7422`. */
  readonly url: string | undefined;
  /** Puts into the log what concerns no single job. */
  note(sentence: string): void;
  /** Ends all connections. The service stays. */
  close(): Promise<void>;
}

const LIMITS = { connectionsMax: 4_096, headMs: 10_000, requestMs: 30_000 };
const IDLE_MS_MAX = 30_000;
const HANDSHAKE_MS_MAX = 10_000;
/** What is being answered when the service ends may be answered so long. */
const LAST_ANSWERS_MS = 2_000;
const HEAD_BYTES_MAX = 16 * KiB;

/** Listens when it resolves. @throws TransferError E_USAGE: where it cannot; E_LOCKED: a service runs there already */
export async function startControl(options: ControlOptions): Promise<ControlServer> {
  const { http, clock = systemClock } = options;
  if (http && !http.tls) assertLoopback(http.host);
  const page = options.page === undefined ? undefined : readPage(options.page);
  const secure = http?.tls !== undefined;
  const access = new Access({ tokens: options.tokens, names: http?.names ?? [], clock, secure });
  const streams = new EventStreams({
    service: options.service,
    clock,
    ...(options.migrations && { migrations: options.migrations }),
    ...(options.limits && { limits: options.limits }),
  });
  const log = options.log === undefined ? undefined : openLog(options.log);
  const metrics = new Metrics(options.service, streams);
  const app = await makeApp({
    ...{ version: options.version, access },
    answered: (request, reply, failed) => note({ request, reply, failed, metrics, logger: log?.logger }),
  });
  addJobRoutes(app, options.service);
  if (options.migrations) addMigrationRoutes(app, options.migrations, clock);
  if (options.machines) addMachineRoutes(app, options.machines);
  addServiceRoutes(app, { ...options, access, streams, metrics });
  if (page) addPage(app, page);
  await app.ready();
  const control = new Control({ app, access, streams, log, options });
  try {
    await control.listen();
    return control;
  } catch (thrown) {
    await control.close();
    throw thrown;
  }
}

interface ControlParts {
  readonly app: ControlApp;
  readonly access: Access;
  readonly streams: EventStreams;
  readonly log: Log | undefined;
  readonly options: ControlOptions;
}

class Control implements ControlServer {
  readonly socketPath: string;
  url: string | undefined;
  readonly #parts: ControlParts;
  readonly #servers: Server[] = [];
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  #socket: HeldSocket | undefined;

  constructor(parts: ControlParts) {
    this.#parts = parts;
    this.socketPath = parts.options.socketPath;
    this.#clock = parts.options.clock ?? systemClock;
  }

  note(sentence: string): void {
    this.#parts.log?.logger.warn(sentence);
  }

  async listen(): Promise<void> {
    const { access, log, options } = this.#parts;
    const bySocket = this.#server(undefined, true);
    this.#socket = await listenOnSocket(bySocket, this.socketPath);
    if (options.http) {
      const { host, port: wanted, tls } = options.http;
      const port = await listenOnAddress(this.#server(tls, false), host, wanted);
      access.listensOn(port);
      this.url = `${tls ? 'https' : 'http'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    }
    const { socketPath, url } = this;
    log?.logger.info({ socketPath, url, pid: process.pid, version: options.version }, 'the service listens');
    if (log) void this.#logEvents(log.logger);
  }

  async close(): Promise<void> {
    const { app, streams, log } = this.#parts;
    this.#closing.abort();
    streams.close();
    const closed = Promise.all(this.#servers.map((server) => new Promise((resolve) => server.close(resolve))));
    for (const server of this.#servers) server.closeIdleConnections();
    const waited = new AbortController();
    await Promise.race([closed, this.#clock.sleep(LAST_ANSWERS_MS, waited.signal)]);
    waited.abort();
    for (const server of this.#servers) server.closeAllConnections();
    await closed;
    await app.close();
    this.#socket?.release();
    this.#socket = undefined;
    log?.logger.info('the service listens no more');
    await log?.close();
  }

  #server(tls: ControlHttp['tls'], bySocket: boolean): Server {
    const { app, access, options } = this.#parts;
    const { connectionsMax, headMs, requestMs } = { ...LIMITS, ...options.limits };
    const rules: ServerOptions = {
      ...{ headersTimeout: headMs, requestTimeout: requestMs, connectionsCheckingInterval: headMs / 4 },
      ...{ keepAliveTimeout: IDLE_MS_MAX, maxHeaderSize: HEAD_BYTES_MAX },
    };
    const server = tls
      ? createSecureServer({ ...rules, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: HANDSHAKE_MS_MAX })
      : createServer(rules);
    server.maxConnections = connectionsMax;
    server.on('request', (request, response) => {
      if (bySocket) access.cameBySocket(request);
      app.routing(request, response);
    });
    this.#servers.push(server);
    return server;
  }

  async #logEvents(logger: Logger): Promise<void> {
    try {
      await logEvents(this.#parts.options.service, logger, this.#closing.signal);
    } catch (thrown) {
      logger.error({ err: thrown }, 'events are not logged any more');
    }
  }
}

interface Answered {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly failed: TransferError | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger | undefined;
}

/** Changes and failures are on record; a page that looks each second would fill the log. */
function note({ request, reply, failed, metrics, logger }: Answered): void {
  const { method, caller } = request;
  const route = request.routeOptions.url ?? 'none';
  const [status, ms] = [reply.statusCode, reply.elapsedTime];
  // An event stream is no answer that takes long.
  if (route === EVENTS_ROUTE && status === 200) return;
  metrics.asked({ route, method, status, ms });
  if (!logger || (method === 'GET' && !failed)) return;
  const level = status >= 500 ? 'error' : failed ? 'warn' : 'info';
  const path = request.url.split('?')[0];
  const error = failed && { error: failed.toJSON() };
  logger[level]({ method, path, status, ms: Math.round(ms), caller: caller.name, ...error }, failed?.message ?? 'done');
}
