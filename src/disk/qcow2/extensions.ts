/** Header extensions of a qcow2 image (docs/interop/qcow2, "Header extensions"); they follow the header. */
import { showPath } from '../../platform/path-bytes.js';
import { diskError } from '../disk-bytes.js';

export interface Extension {
  readonly type: number;
  /** Where its data is, after its type and length. */
  readonly at: number;
  readonly length: number;
}

export interface ExtensionArea {
  readonly extensions: readonly Extension[];
  /** Just after the last one, the end mark included. */
  readonly extensionsEnd: number;
}

export const EXTENSION = {
  end: 0,
  parentFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  bitmaps: 0x23852875,
} as const;

const FEATURE_NAME_BYTES = 48;

/** "Header extensions": unknown ones are passed over. */
export function extensionsOf(bytes: Buffer, headerBytes: number, name: string): ExtensionArea {
  const parentAt = bytes.readBigUInt64BE(8);
  const end = parentAt > 0n && parentAt < bytes.length ? Number(parentAt) : bytes.length;
  const extensions: Extension[] = [];
  let at = headerBytes;
  while (at + 8 <= end) {
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    at += 8;
    if (type === EXTENSION.end) break;
    if (length > end - at) {
      throw diskError(name, 'header extension', at - 8, `at most ${end - at} bytes`, `${length} bytes`);
    }
    extensions.push({ type, at, length });
    at += Math.ceil(length / 8) * 8;
  }
  return { extensions, extensionsEnd: Math.min(at, end) };
}

/** "Feature name table": 48 bytes each, of which type and bit come first. The name is the file's, so hostile. */
export function featureName(bytes: Buffer, bit: number, extensions: readonly Extension[]): string | undefined {
  const table = extensions.find(({ type }) => type === EXTENSION.featureNames);
  if (!table) return undefined;
  for (let at = table.at; at + FEATURE_NAME_BYTES <= table.at + table.length; at += FEATURE_NAME_BYTES) {
    if (bytes[at] !== 0 || bytes[at + 1] !== bit) continue;
    const text = bytes.toString('utf8', at + 2, at + FEATURE_NAME_BYTES).replace(/\0.*$/s, '');
    if (text !== '') return `"${showPath(text)}" (bit ${bit})`;
  }
  return undefined;
}

/** An extension that has, or may have, clusters of its own that no table of the guest points to. */
export function ownerOfMore({ extensions }: Pick<ExtensionArea, 'extensions'>): Extension | undefined {
  return extensions.find(({ type }) => type !== EXTENSION.parentFormat && type !== EXTENSION.featureNames);
}
