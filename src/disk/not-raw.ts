/**
 * What is taken for raw because nothing in it says that it is another format that is read here, and cannot be a disk
 * all the same. A new disk that is made of it would be wrong, and be called proven.
 */
import { formatOfName } from './formats.js';
import type { DiskBytes, Finding } from './image.js';

const LOOK_BYTES = 512;

/** How images of other formats begin, or what they have at a place near their beginning. */
const OTHERS: readonly (readonly [name: string, at: number, mark: string])[] = [
  ['VMDK', 0, 'KDMV'],
  ['VMDK', 0, 'COWD'],
  ['VMDK', 0, '# Disk DescriptorFile'],
  ['VDI', 64, '\x7f\x10\xda\xbe'],
  ['QED', 0, 'QED\0'],
  ['Parallels', 0, 'WithoutFreeSpace'],
  ['Parallels', 0, 'WithouFreSpacExt'],
];

/** Of a file that nobody says to be raw. */
export async function whyNotRaw(bytes: DiskBytes): Promise<Finding | undefined> {
  const { name } = bytes;
  const first = await bytes.read({ offset: 0, length: Math.min(LOOK_BYTES, bytes.size) }, 'beginning');
  const [other] = OTHERS.find(([, at, mark]) => first.toString('latin1', at, at + mark.length) === mark) ?? [];
  if (other !== undefined) {
    const message = `${name} begins as a ${other} image, which this version does not read: it is no raw disk`;
    return { code: 'raw-other-format', severity: 'wrong', message };
  }
  const called = formatOfName(name);
  if (!called) return undefined;
  // A fixed VHD has nothing but its footer, and is cut short without a trace.
  const lost = called === 'vhd' ? 'its footer is missing, so that it may be cut short' : 'its beginning is damaged';
  const message = `${name} is called a ${called} image, and nothing in it says that it is one: ${lost}, or it is raw`;
  return { code: 'raw-misnamed', severity: 'wrong', message };
}
