/** What goes wrong, as HTTP says it: a status for programs, and the error as it is for people. */
import type { FastifyError, FastifyRequest } from 'fastify';
import { ERROR_KINDS, type ErrorCode, type ErrorJson, TransferError } from '../../core/errors.js';

const STATUS: Partial<Record<ErrorCode, number>> = {
  ...{
    E_USAGE: 400,
    E_AUTH: 401,
    E_FORBIDDEN: 403,
    E_NO_JOB: 404,
    E_NO_VM: 404,
    E_NO_MIGRATION: 404,
    E_JOB_STATE: 409,
    E_POLICY: 422,
  },
  ...{ E_UNAVAILABLE: 503, E_NO_SPACE: 507, E_BUG: 500 },
};
const USAGE_OR_STATE = 2;

export interface Failure {
  readonly status: number;
  readonly error: TransferError;
}

/** Of what a handler threw, or the server before it. */
export function failureOf(thrown: unknown, request: FastifyRequest): Failure {
  const { statusCode, code, validation } = thrown as FastifyError;
  if (thrown instanceof TransferError) return { status: statusOf(thrown.code), error: thrown };
  if (validation) return { status: 400, error: new TransferError('E_USAGE', (thrown as Error).message, SEE_API) };
  if (!code?.startsWith('FST_ERR_') || statusCode === undefined || statusCode >= 500) {
    return { status: 500, error: TransferError.from(thrown) };
  }
  const said = WORDS[code] ?? `the request cannot be read (${code})`;
  return {
    status: statusCode,
    error: new TransferError('E_USAGE', `${request.method} ${request.url}: ${said}`, SEE_API),
  };
}

/** As it is told: what a bug looks like inside is for the log alone, and whoever is not known here hears no causes. */
export function shown({ cause, ...plain }: ErrorJson, known = true): ErrorJson {
  return { ...plain, ...(known && cause !== undefined && plain.code !== 'E_BUG' && { cause }) };
}

function statusOf(code: ErrorCode): number {
  return STATUS[code] ?? (ERROR_KINDS[code].exitCode === USAGE_OR_STATE ? 409 : 500);
}

const SEE_API = { hint: 'See /v1/openapi.json for what can be asked, and how.' };

const WORDS: Readonly<Record<string, string>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'the body is no JSON',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'a body of JSON is expected, and there is none',
  FST_ERR_CTP_BODY_TOO_LARGE: 'the body is larger than 1 MiB',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'the body must be application/json, or text/plain for a policy',
  FST_ERR_BAD_URL: 'this is no path, or a % in it is none of an escape',
  FST_ERR_NOT_FOUND: 'there is nothing of that name here',
};

interface SchemaError {
  readonly instancePath: string;
  readonly message?: string;
  readonly keyword: string;
  readonly params: Readonly<Record<string, unknown>>;
}

/** One sentence that names what is wrong. */
export function schemaError(errors: readonly SchemaError[], part: string): Error {
  const [first] = errors;
  const where = `${part}${first?.instancePath.replaceAll('/', '.') ?? ''}`;
  const { additionalProperty, allowedValues } = first?.params ?? {};
  if (additionalProperty !== undefined) return new Error(`${where}: ${String(additionalProperty)} is not known`);
  if (Array.isArray(allowedValues)) return new Error(`${where}: must be one of ${allowedValues.join(', ')}`);
  return new Error(`${where}: ${first?.message ?? 'cannot be used'}`);
}
