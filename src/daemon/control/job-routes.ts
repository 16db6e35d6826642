/** The routes of jobs: what `JobService` offers, one route a call. */
import Type from 'typebox';
import { TransferError } from '../../core/errors.js';
import type { JobState } from '../../core/events.js';
import type { JobSettings } from '../../service/job.js';
import type { Caller, JobService } from '../../service/job-service.js';
import type { ControlApp } from './app.js';
import { flag, listOf, number, optional, record, string, text } from './schema.js';
import * as schemas from './schemas.js';

const STATES = schemas.JOB_STATE_NAMES.join('|');
const CELLS_MAX = 10_000;
const CELLS_DEFAULT = 1_000;
const PREFIX_CHARS_MAX = 32_768;

const id = text(64);
const params = record({ id });
const states = Type.String({ pattern: `^(${STATES})(,(${STATES}))*$`, description: 'One or more, with commas.' });
const list = record({ state: optional(states), all: optional(Type.Integer({ minimum: 0, maximum: 1 })) });

export function addJobRoutes(app: ControlApp, service: JobService): void {
  addLists(app, service);
  addCalls(app, service);
  addChanges(app, service);
  addViews(app, service);
}

function addLists(app: ControlApp, service: JobService): void {
  app.get(
    '/v1/jobs',
    {
      schema: {
        ...{ operationId: 'listJobs', summary: 'Jobs in the order of their creation; finished ones with all=1' },
        querystring: list,
        response: { 200: record({ jobs: listOf(schemas.jobView.ref) }) },
      },
    },
    async ({ query: { state, all }, caller }, reply) => {
      const chosen = state === undefined ? {} : { states: state.split(',') as JobState[] };
      const jobs = service.list(caller, { ...chosen, all: all === 1 });
      // Ten thousand jobs are many: shaping each by its schema would take longer than all the rest.
      void reply.type('application/json; charset=utf-8').serializer(JSON.stringify);
      return { jobs };
    },
  );
  app.post(
    '/v1/jobs',
    {
      schema: {
        ...{ operationId: 'createJob', summary: 'Create a job, which starts by itself unless it is created suspended' },
        body: schemas.jobSpec.ref,
        response: { 201: schemas.jobView.ref },
      },
    },
    async ({ body, caller }, reply) => {
      assertMaySet(body, caller);
      return reply.code(201).send(await service.create(body, caller));
    },
  );
  app.get(
    '/v1/jobs/:id',
    {
      schema: {
        ...{ operationId: 'getJob', summary: 'A job with its files', params },
        response: { 200: schemas.wholeJob.ref },
      },
    },
    async ({ params: { id }, caller }) => service.get(id, caller),
  );
}

function addCalls(app: ControlApp, service: JobService): void {
  const view = { params, response: { 200: schemas.jobView.ref } };
  app.post(
    '/v1/jobs/:id/suspend',
    { schema: { operationId: 'suspendJob', summary: 'Stop a job for now; what is finished is kept', ...view } },
    async ({ params: { id }, caller }) => service.suspend(id, caller),
  );
  app.post(
    '/v1/jobs/:id/resume',
    { schema: { operationId: 'resumeJob', summary: 'Let a job go on; after an error, try again now', ...view } },
    async ({ params: { id }, caller }) => service.resume(id, caller),
  );
  app.post(
    '/v1/jobs/:id/cancel',
    {
      schema: {
        ...{ operationId: 'cancelJob', summary: 'End a job for good', ...view },
        body: record({ keepPartial: flag() }),
      },
    },
    async ({ params: { id }, body, caller }) => service.cancel(id, body, caller),
  );
  app.post(
    '/v1/jobs/:id/complete',
    {
      schema: {
        ...{ operationId: 'completeJob', summary: 'Give the files that are transferred their names, and end the job' },
        ...{ params, response: { 200: schemas.completed.ref } },
      },
    },
    async ({ params: { id }, caller }) => service.complete(id, caller),
  );
}

function addChanges(app: ControlApp, service: JobService): void {
  const view = { params, response: { 200: schemas.jobView.ref } };
  app.post(
    '/v1/jobs/:id/files',
    { schema: { operationId: 'addFiles', summary: 'Add files to a job', ...view, body: schemas.fileSpecs.ref } },
    async ({ params: { id }, body, caller }) => service.addFiles(id, body.files, caller),
  );
  app.patch(
    '/v1/jobs/:id',
    {
      schema: { operationId: 'changeJob', summary: 'Change settings of a job', ...view, body: schemas.jobChanges.ref },
    },
    async ({ params: { id }, body, caller }) => {
      assertMaySet(body, caller);
      return service.change(id, body, caller);
    },
  );
  const prefix = text(PREFIX_CHARS_MAX);
  app.post(
    '/v1/jobs/:id/replace-prefix',
    {
      schema: {
        ...{ operationId: 'replacePrefix', summary: 'Let sources that begin so begin otherwise', params },
        body: record({ from: prefix, to: prefix }),
        response: { 200: record({ changed: number() }) },
      },
    },
    async ({ params: { id }, body, caller }) => ({
      changed: await service.replacePrefix(id, body.from, body.to, caller),
    }),
  );
}

function addViews(app: ControlApp, service: JobService): void {
  app.get(
    '/v1/jobs/:id/why',
    {
      schema: {
        ...{ operationId: 'whyJob', summary: 'Why a job is where it is, and what binds it', params },
        response: { 200: schemas.explanation.ref },
      },
    },
    async ({ params: { id }, caller }) => service.why(id, caller),
  );
  app.get(
    '/v1/jobs/:id/files/:index/map',
    {
      schema: {
        ...{ operationId: 'chunkMap', summary: 'What has become of each chunk of a file that is being copied' },
        params: record({ id, index: string({ pattern: '^[0-9]{1,6}$' }) }),
        querystring: record({ cells: optional(Type.Integer({ minimum: 1, maximum: CELLS_MAX })) }),
        response: { 200: schemas.chunkMap.ref, 404: schemas.failure.ref },
      },
    },
    async ({ params: { id, index }, query: { cells = CELLS_DEFAULT }, caller }, reply) => {
      const map = service.chunkMap(id, Number(index), cells, caller);
      if (map) return map;
      const error = new TransferError('E_JOB_STATE', `file ${index} of job ${id} is not being copied now`);
      return reply.code(404).send({ error: error.toJSON() });
    },
  );
}

/** A command runs as the service's user, so it is for whoever has that user's rights. */
function assertMaySet({ notify }: Partial<JobSettings>, { admin, name }: Caller): void {
  if (notify === undefined || admin) return;
  throw new TransferError('E_FORBIDDEN', `${name} may not have the service run a command`, {
    hint: 'Only administrators set notify; a webhook is for everybody.',
  });
}
