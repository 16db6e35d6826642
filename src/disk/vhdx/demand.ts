/** What a structure of a file must be to be used, said where it is read. */
import { diskError } from '../disk-bytes.js';

/** What was being read, in which file, and where it stands. */
export interface Spot {
  readonly name: string;
  readonly what: string;
  readonly at: number;
}

/** @throws TransferError E_DISK_FORMAT */
export function demand(
  { name, what, at }: Spot,
  holds: boolean,
  expected: string,
  found: string | number | bigint,
): asserts holds {
  if (!holds) throw diskError(name, what, at, expected, String(found));
}

/** A number of 64 bits that must be exact to be counted with. */
export function exactNumber(spot: Spot, value: bigint): number {
  demand(spot, value <= BigInt(Number.MAX_SAFE_INTEGER), 'a number below 2^53', value);
  return Number(value);
}
