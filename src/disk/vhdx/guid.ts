/** GUIDs as VHDX stores them: 16 bytes, the first three fields little endian; as text in lower case, without braces. */
import { randomUUID } from 'node:crypto';

export const GUID_NONE = '00000000-0000-0000-0000-000000000000';

const TEXT = /^\{?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\}?$/;
/** Which byte of the stored form is the next of the text: the fields of four, two and two bytes are turned around. */
const ORDER = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15] as const;

export const newGuid = (): string => randomUUID();

export function readGuid(bytes: Uint8Array, at = 0): string {
  const hex = ORDER.map((index) => (bytes[at + index] ?? 0).toString(16).padStart(2, '0')).join('');
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

export function guidBytes(guid: string): Uint8Array {
  const hex = guid.replaceAll('-', '');
  return Uint8Array.from(ORDER, (index) => Number.parseInt(hex.slice(index * 2, index * 2 + 2), 16));
}

/** A GUID that somebody wrote, with braces or without, in any case; undefined: it is none. */
export function parseGuid(text: string): string | undefined {
  return TEXT.exec(text.toLowerCase())?.[1];
}
