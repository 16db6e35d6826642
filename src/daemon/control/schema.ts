/**
 * How the API's schemas are written: one each validates what comes, shapes what goes, and stands in the OpenAPI page.
 * A schema that speaks of an interface is held against it by the compiler.
 */
import type { FastifyTypeProvider } from 'fastify';
import Type, { type Static, type TSchema } from 'typebox';

/** Handlers get and give what their schemas say. */
export interface SchemaTypes extends FastifyTypeProvider {
  readonly validator: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
  readonly serializer: this['schema'] extends TSchema ? Static<this['schema']> : unknown;
}

/** The same for reading, names of optional properties included. */
type Same<A, B> = [A, B, keyof A, keyof B] extends [B, A, keyof B, keyof A] ? unknown : never;

/** A component of the OpenAPI page, which says what the interface `T` says. */
export interface Component<T> {
  readonly schema: TSchema & { readonly $id: string };
  /** Stands for it in other schemas. */
  readonly ref: ReturnType<typeof Type.Unsafe<T>>;
}

export function component<T>() {
  return <S extends TSchema>(id: string, schema: S & Same<Static<S>, T>): Component<T> => ({
    schema: { ...schema, $id: id } as TSchema & { readonly $id: string },
    ref: Type.Unsafe<T>({ $ref: `${id}#` }),
  });
}

/** What it does not name is refused in a request, and left out of an answer. */
export function record<P extends Record<string, TSchema>>(properties: P) {
  return Type.Object(properties, { additionalProperties: false });
}

export function words<const W extends readonly string[]>(list: W) {
  return Type.Unsafe<W[number]>({ type: 'string', enum: [...list] });
}

export function listOf<S extends TSchema>(schema: S, maxItems?: number) {
  return Type.Unsafe<readonly Static<S>[]>({ type: 'array', items: schema, ...(maxItems && { maxItems }) });
}

/** What we make ourselves is told as it is. */
export function shown<T>(description: string) {
  return Type.Unsafe<T>({ type: 'object', additionalProperties: true, description } as TSchema);
}

/** A whole number from 0. */
export function count(maximum: number = Number.MAX_SAFE_INTEGER) {
  return Type.Integer({ minimum: 0, maximum });
}

export function text(maxLength: number) {
  return Type.String({ maxLength });
}

/** One value for each of these names. */
export function table<const W extends readonly string[], S extends TSchema>(names: W, schema: S) {
  return Type.Unsafe<Readonly<Record<W[number], Static<S>>>>({
    ...{ type: 'object', required: [...names], additionalProperties: false },
    properties: Object.fromEntries(names.map((name) => [name, schema])),
  });
}

export const optional = Type.Optional;
export const flag = Type.Boolean;
export const number = Type.Number;
export const string = Type.String;
