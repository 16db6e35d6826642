/** The routes of migrations: what `MigrationService` offers, one route a call. For administrators alone. */
import Type from 'typebox';
import { type Clock, systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import type {
  MigrationPreview,
  MigrationRequest,
  MigrationService,
  MigrationTold,
  MigrationView,
} from '../../migrate/migration-service.js';
import type { Receipt } from '../../migrate/receipt-form.js';
import type { Caller } from '../../service/job-service.js';
import type { ControlApp } from './app.js';
import { count, flag, listOf, optional, record, shown, text } from './schema.js';

const PATH_CHARS_MAX = 4096;
/** A week: nobody means more. */
const BLACKOUT_MS_MAX = 7 * 24 * 3_600_000;
/** Whoever asks for events waits so long for the first one. */
const EVENTS_WAIT_MS = 10_000;
/** What happens at the same moment is told together. */
const EVENTS_GATHER_MS = 20;
const EVENTS_MAX = 1000;

const path = text(PATH_CHARS_MAX);
const id = text(64);
const params = record({ id });
const request = record({
  vm: id,
  from: optional(text(255)),
  to: optional(text(255)),
  paths: record({
    folder: optional(path),
    disks: optional(Type.Unsafe<Readonly<Record<string, string>>>(Type.Record(id, path, { maxProperties: 64 }))),
  }),
  keepSource: optional(flag()),
  maxBlackoutMs: optional(count(BLACKOUT_MS_MAX)),
});
const begun = record({ ...request.properties, prepareOnly: optional(flag()) });

const view = shown<MigrationView>('A migration: its plan, its state and why, its steps, the predicted blackout.');
const preview = shown<MigrationPreview>('What a migration would do, and what is in the way.');
const receipt = shown<Receipt>('Signed with Ed25519: see docs/migration.md.');
const told = shown<MigrationTold>('A number, the migration, and what happened.');

export function addMigrationRoutes(app: ControlApp, migrations: MigrationService, clock: Clock = systemClock): void {
  addBeginnings(app, migrations);
  addLooks(app, migrations, clock);
  addMoves(app, migrations);
}

function addBeginnings(app: ControlApp, migrations: MigrationService): void {
  app.post(
    '/v1/migrations/plan',
    {
      schema: {
        ...{ operationId: 'planMigration', summary: 'What a migration would do; nothing is changed' },
        ...{ body: request, response: { 200: preview } },
      },
    },
    async ({ body, caller }) => {
      assertMay(caller);
      return migrations.plan(body as MigrationRequest);
    },
  );
  app.post(
    '/v1/migrations',
    {
      schema: {
        ...{ operationId: 'startMigration', summary: 'Move a machine; with prepareOnly, stop before the blackout' },
        ...{ body: begun, response: { 201: view } },
      },
    },
    async ({ body: { prepareOnly, ...body }, caller }, reply) => {
      assertMay(caller);
      const asked = body as MigrationRequest;
      return reply.code(201).send(await (prepareOnly ? migrations.prepare(asked) : migrations.start(asked)));
    },
  );
}

function addLooks(app: ControlApp, migrations: MigrationService, clock: Clock): void {
  app.get(
    '/v1/migrations',
    {
      schema: {
        ...{ operationId: 'listMigrations', summary: 'Migrations in the order of their creation' },
        response: { 200: record({ migrations: listOf(view) }) },
      },
    },
    async ({ caller }) => {
      assertMay(caller);
      return { migrations: migrations.list() };
    },
  );
  app.get(
    '/v1/migrations/:id',
    { schema: { operationId: 'getMigration', summary: 'A migration', params, response: { 200: view } } },
    async ({ params: { id }, caller }) => {
      assertMay(caller);
      return migrations.get(id);
    },
  );
  app.get(
    '/v1/migrations/:id/receipt',
    {
      schema: {
        ...{ operationId: 'getReceipt', summary: 'The signed receipt of a migration that is done' },
        ...{ params, response: { 200: receipt } },
      },
    },
    async ({ params: { id }, caller }) => {
      assertMay(caller);
      const found = migrations.receipt(id);
      if (found) return found;
      throw new TransferError('E_MIGRATION_STATE', `there is no receipt of ${id} yet`, {
        hint: 'It is written when the migration is done.',
      });
    },
  );
  app.get(
    '/v1/migrations/:id/events',
    {
      schema: {
        ...{ operationId: 'listenToMigration', summary: 'What happened after that event, or happens within seconds' },
        ...{ params, querystring: record({ after: optional(count()) }) },
        response: { 200: record({ events: listOf(told) }) },
      },
    },
    async ({ params: { id }, query: { after = 0 }, caller, raw }) => {
      assertMay(caller);
      migrations.get(id);
      const gone = new AbortController();
      raw.on('close', () => gone.abort());
      return { events: await happening(migrations, { after, migration: id }, clock, gone) };
    },
  );
}

/** What was told already, or what is told next, if that is soon. */
async function happening(
  migrations: MigrationService,
  about: { readonly after: number; readonly migration: string },
  clock: Clock,
  stop: AbortController,
): Promise<MigrationTold[]> {
  const events: MigrationTold[] = [];
  const endIn = (ms: number): void => void clock.sleep(ms, stop.signal).then(() => stop.abort());
  endIn(EVENTS_WAIT_MS);
  for await (const one of migrations.events(about, stop.signal)) {
    if (events.length === 0) endIn(EVENTS_GATHER_MS);
    events.push(one);
    if (events.length === EVENTS_MAX) break;
  }
  stop.abort();
  return events;
}

function addMoves(app: ControlApp, migrations: MigrationService): void {
  app.post(
    '/v1/migrations/:id/cutover',
    {
      schema: {
        ...{ operationId: 'cutOver', summary: 'Go on: into the blackout, or with the step that failed', params },
        body: record({ maxBlackoutMs: optional(count(BLACKOUT_MS_MAX)), anyway: optional(flag()) }),
        response: { 200: view },
      },
    },
    async ({ params: { id }, body, caller }) => {
      assertMay(caller);
      return migrations.cutover(id, body);
    },
  );
  app.post(
    '/v1/migrations/:id/abort',
    {
      schema: {
        ...{ operationId: 'abortMigration', summary: 'Leave the machine at the source, as it was', params },
        response: { 200: view },
      },
    },
    async ({ params: { id }, caller }) => {
      assertMay(caller);
      return migrations.abort(id);
    },
  );
}

/** @throws TransferError E_FORBIDDEN */
export function assertMay({ name, admin }: Caller): void {
  if (admin) return;
  throw new TransferError('E_FORBIDDEN', `${name} may not move machines`, {
    hint: 'Whoever runs the service may, and a token with the right admin.',
  });
}
