/**
 * What a message from elsewhere must look like. A shape takes any value and gives it back as what it was found to be,
 * or throws; what it does not name is left behind, so that nothing unexpected goes on.
 */
import { TransferError } from './errors.js';

export type Shape<T> = (value: unknown, at?: string) => T;
export type Shaped<S> = S extends Shape<infer T> ? T : never;
type Shapes = Readonly<Record<string, Shape<unknown>>>;
type ObjectOf<R extends Shapes, O extends Shapes> = { readonly [K in keyof R]: Shaped<R[K]> } & {
  readonly [K in keyof O]?: Shaped<O[K]>;
};

function wrong(at: string, expected: string): TransferError {
  return new TransferError('E_PROTOCOL', `a message is not what it should be: ${at || 'it'} is no ${expected}`, {
    hint: 'Check that both hosts run Blockferry, of versions that know each other.',
  });
}

/** `required` must be there; `optional` may be absent, and is then left out. */
export function object<R extends Shapes, O extends Shapes = Record<never, never>>(
  required: R,
  optional?: O,
): Shape<ObjectOf<R, O>> {
  return (value, at = '') => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(at, 'object');
    const given = value as Readonly<Record<string, unknown>>;
    const found: Record<string, unknown> = {};
    for (const [name, shape] of Object.entries(required)) found[name] = shape(own(given, name), `${at}.${name}`);
    for (const [name, shape] of Object.entries(optional ?? {})) {
      const one = own(given, name);
      if (one !== undefined) found[name] = shape(one, `${at}.${name}`);
    }
    return found as ObjectOf<R, O>;
  };
}

function own(given: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(given, name) ? given[name] : undefined;
}

/** Of at most so many UTF-16 units. */
export function text(lengthMax: number, pattern = /^/): Shape<string> {
  return (value, at = '') => {
    if (typeof value === 'string' && value.length <= lengthMax && pattern.test(value)) return value;
    throw wrong(at, `text of at most ${lengthMax} characters`);
  };
}

/** A whole number from 0. */
export function count(max: number = Number.MAX_SAFE_INTEGER): Shape<number> {
  return (value, at = '') => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= max) return value;
    throw wrong(at, `whole number from 0 to ${max}`);
  };
}

export const flag: Shape<boolean> = (value, at = '') => {
  if (typeof value === 'boolean') return value;
  throw wrong(at, 'true or false');
};

export function oneOf<const T extends string>(...words: readonly T[]): Shape<T> {
  return (value, at = '') => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    throw wrong(at, `one of ${words.join(', ')}`);
  };
}

export function listOf<T>(shape: Shape<T>, lengthMax: number): Shape<readonly T[]> {
  return (value, at = '') => {
    if (!Array.isArray(value) || value.length > lengthMax) throw wrong(at, `list of at most ${lengthMax}`);
    return value.map((one, index) => shape(one, `${at}[${index}]`));
  };
}

export function pairOf<A, B>(first: Shape<A>, second: Shape<B>): Shape<readonly [A, B]> {
  return (value, at = '') => {
    if (!Array.isArray(value) || value.length !== 2) throw wrong(at, 'pair');
    return [first(value[0], `${at}[0]`), second(value[1], `${at}[1]`)];
  };
}
