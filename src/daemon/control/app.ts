/** The web framework, set up: schemas, OpenAPI, who may ask, and how errors and all answers look. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import swagger from '@fastify/swagger';
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { TransferError } from '../../core/errors.js';
import { MiB } from '../../core/units.js';
import type { Caller } from '../../service/job-service.js';
import type { Access } from './access.js';
import { failureOf, schemaError, shown } from './answers.js';
import type { SchemaTypes } from './schema.js';
import { COMPONENTS, failure } from './schemas.js';

export type ControlApp = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, SchemaTypes>;

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller;
  }
  interface FastifyContextConfig {
    /** Answered without a token. */
    readonly open?: boolean;
  }
}

export interface AppParts {
  readonly version: string;
  readonly access: Access;
  /** Hears of each answer. */
  readonly answered: (request: FastifyRequest, reply: FastifyReply, failed: TransferError | undefined) => void;
}

const BODY_BYTES_MAX = MiB;
const PARAM_CHARS_MAX = 100;
const NOBODY: Caller = { name: '', admin: false };

/** The page's scripts, styles and pictures come from here and nowhere else, and it is shown in no other page. */
const CONTENT_POLICY = [
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'",
  "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
].join('; ');

export const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CONTENT_POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

export async function makeApp({ version, access, answered }: AppParts): Promise<ControlApp> {
  const app: ControlApp = fastify({
    ...{ bodyLimit: BODY_BYTES_MAX, exposeHeadRoutes: false, routerOptions: { maxParamLength: PARAM_CHARS_MAX } },
    // What comes is taken as it is or refused: nothing is made to fit.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false, allErrors: false } },
    schemaErrorFormatter: schemaError as never,
    // An address that is none comes to no hook and no handler of errors.
    frameworkErrors: (thrown, request, reply) => {
      const { status, error } = failureOf(thrown, request as FastifyRequest);
      void (reply as FastifyReply).headers(ANSWER_HEADERS).code(status).send({ error: error.toJSON() });
    },
  }).withTypeProvider<SchemaTypes>();
  app.decorateRequest('caller', null as never);
  for (const schema of COMPONENTS) app.addSchema(schema);
  app.addContentTypeParser('application/toml', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Blockferry',
        version,
        description: 'Jobs that copy huge files and virtual disks, and their events.',
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    // Errors look alike everywhere: said once, and made once.
    transform: ({ schema, url }) => ({
      url,
      schema: { ...schema, response: { ...(schema.response as object), default: failure.ref } },
    }),
    refResolver: { buildLocalReference: ({ $id }, _uri, _fragment, index) => String($id ?? `schema-${index}`) },
  });
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(ANSWER_HEADERS);
    request.caller = NOBODY;
    access.assertOurs(request.raw);
    if (!request.routeOptions.config.open) request.caller = access.caller(request.raw);
  });
  app.addHook('preValidation', async ({ query }) => readNumbers(query as Record<string, unknown>));
  answerFailures(app, answered);
  return app;
}

/** A query is text alone: what is a whole number counts as one. */
function readNumbers(query: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(query)) {
    if (typeof value === 'string' && /^\d{1,15}$/.test(value)) query[name] = Number(value);
  }
}

function answerFailures(app: ControlApp, answered: AppParts['answered']): void {
  const failed = new WeakMap<FastifyRequest, TransferError>();
  app.setErrorHandler((thrown, request, reply) => {
    const { status, error } = failureOf(thrown, request);
    failed.set(request, error);
    const { retryAfterMs } = error.detail;
    if (retryAfterMs !== undefined) void reply.header('retry-after', Math.ceil(retryAfterMs / 1000));
    if (status === 401) void reply.header('www-authenticate', 'Bearer');
    void reply.code(status).send({ error: shown(error.toJSON(), request.caller !== NOBODY) });
  });
  app.setNotFoundHandler((request, reply) => {
    const message = `${request.method} ${request.url.split('?')[0]}: there is nothing of that name here`;
    const error = new TransferError('E_USAGE', message, { hint: 'See /v1/openapi.json for what there is.' });
    failed.set(request, error);
    void reply.code(404).send({ error: error.toJSON() });
  });
  app.addHook('onResponse', async (request, reply) => answered(request, reply, failed.get(request)));
}
