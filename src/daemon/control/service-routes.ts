/** The routes of the service as a whole: what it is and does, its policy, its events, sessions, metrics. */
import Type from 'typebox';
import { TransferError } from '../../core/errors.js';
import type { MigrationService } from '../../migrate/migration-service.js';
import type { JobService } from '../../service/job-service.js';
import type { Access } from './access.js';
import { ANSWER_HEADERS, type ControlApp } from './app.js';
import type { EventStreams } from './event-streams.js';
import type { MachineHost } from './machine-routes.js';
import type { Metrics } from './metrics.js';
import { assertMay } from './migration-routes.js';
import { count, optional, record, string, text } from './schema.js';
import * as schemas from './schemas.js';

export const EVENTS_ROUTE = '/v1/events';
const EVENTS_DESCRIPTION = [
  'The `data` of each is {id, job, file?, event}, as JSON; `event:` has the type of the event. Whoever comes back with',
  'Last-Event-ID misses nothing that is kept. `event: dropped` says, in {error}, why the service ends the stream.',
  'With `migrations`, administrators hear what happens in migrations from then on: `event: migration` has an',
  '{id, migration, event}, and no `id:`, since none of it is told again.',
].join(' ');

export interface ServiceRouteParts {
  readonly service: JobService;
  readonly migrations?: MigrationService;
  readonly machines?: MachineHost;
  readonly version: string;
  readonly access: Access;
  readonly streams: EventStreams;
  readonly metrics: Metrics;
}

export function addServiceRoutes(app: ControlApp, parts: ServiceRouteParts): void {
  addService(app, parts);
  addPolicy(app, parts);
  addEvents(app, parts);
  addSessions(app, parts);
}

function addService(app: ControlApp, { service, migrations, machines, version, metrics }: ServiceRouteParts): void {
  app.get(
    '/v1/service',
    {
      schema: {
        ...{ operationId: 'getService', summary: 'What runs here, what it does, and who you are to it' },
        response: { 200: schemas.serviceView.ref },
      },
    },
    async ({ caller }) => {
      const load = service.load();
      const movesMachines = migrations !== undefined && machines !== undefined;
      return { version, startedAt: load.startedAt, load, caller, movesMachines };
    },
  );
  app.get(
    '/metrics',
    {
      schema: {
        ...{ operationId: 'getMetrics', summary: 'Metrics for Prometheus', produces: ['text/plain'] },
        response: { 200: string() },
      },
    },
    async (_request, reply) => reply.type(metrics.contentType).send(await metrics.text()),
  );
  app.get(
    '/v1/openapi.json',
    {
      schema: {
        ...{ operationId: 'getOpenApi', summary: 'This description' },
        response: { 200: Type.Object({}, { additionalProperties: true }) },
      },
    },
    async () => app.swagger() as Record<string, unknown>,
  );
}

function addPolicy(app: ControlApp, { service }: ServiceRouteParts): void {
  app.get(
    '/v1/policy',
    {
      schema: {
        ...{ operationId: 'getPolicy', summary: 'The rules that count now, and the text that says them' },
        response: { 200: schemas.policyView.ref },
      },
    },
    async () => ({ policy: service.policy, text: service.policyText }),
  );
  app.put(
    '/v1/policy',
    {
      schema: {
        ...{ operationId: 'setPolicy', summary: 'Replace the rules; where the text is wrong, the old ones stay' },
        ...{ consumes: ['text/plain', 'application/toml'], body: string() },
        response: { 200: schemas.policyView.ref },
      },
    },
    async ({ body, caller }) => {
      if (!caller.admin) throw new TransferError('E_FORBIDDEN', 'only administrators set the policy');
      const policy = await service.setPolicy(body, caller);
      return { policy, text: service.policyText };
    },
  );
}

function addEvents(app: ControlApp, { access, streams }: ServiceRouteParts): void {
  app.get(
    EVENTS_ROUTE,
    {
      schema: {
        ...{ operationId: 'listen', summary: 'Events as they happen (server-sent events), after that one or from now' },
        produces: ['text/event-stream'],
        querystring: record({ job: optional(text(64)), after: optional(count()), migrations: optional(count(1)) }),
        response: { 200: string({ description: EVENTS_DESCRIPTION }) },
      },
    },
    async (request, reply) => {
      const { caller, raw } = request;
      const { job, migrations } = request.query;
      if (migrations === 1) assertMay(caller);
      const after = lastHeard(raw.headers['last-event-id']) ?? request.query.after;
      const about = {
        ...{ caller, migrations: migrations === 1 },
        ...(job !== undefined && { job }),
        ...(after !== undefined && { after }),
      };
      streams.admit(about);
      reply.hijack();
      reply.raw.writeHead(200, {
        ...ANSWER_HEADERS,
        ...{ 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no', connection: 'close' },
      });
      await streams.serve({ ...about, stillMay: () => access.isStill(raw, caller) }, reply.raw);
    },
  );
}

/** A client that comes back asks for what it did at first, and says here what it has heard since. */
function lastHeard(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

function addSessions(app: ControlApp, { access }: ServiceRouteParts): void {
  app.post(
    '/v1/session',
    {
      config: { open: true },
      schema: {
        ...{ operationId: 'openSession', summary: 'Let a browser use the token of this request, by a cookie' },
        response: { 200: schemas.callerView.ref },
      },
    },
    async ({ raw }, reply) => {
      const { caller, cookie } = access.openSession(raw);
      return reply.header('set-cookie', cookie).send(caller);
    },
  );
  app.delete(
    '/v1/session',
    {
      config: { open: true },
      schema: { operationId: 'closeSession', summary: 'Forget the cookie', response: { 204: Type.Null() } },
    },
    async (_request, reply) => reply.header('set-cookie', access.closedSession()).code(204).send(null),
  );
}
