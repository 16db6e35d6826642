/**
 * What Linux says of its storage, as text that is read strictly: a number that is missing or absurd is no number, and
 * whoever asked goes without.
 */

/** Of one block device since it was there (Documentation/block/stat.rst). */
export interface DeviceReading {
  readonly reads: number;
  readonly readBytes: number;
  readonly writes: number;
  readonly writtenBytes: number;
}

const SECTOR_BYTES = 512;
const LINE_MAX = 4096;

/** The text of /sys/dev/block/MAJ:MIN/stat. */
export function parseDeviceStat(text: string): DeviceReading | undefined {
  const fields = text.slice(0, LINE_MAX).trim().split(/\s+/).map(counter);
  const [reads, , sectorsRead, , writes, , sectorsWritten] = fields;
  if (reads === undefined || sectorsRead === undefined || writes === undefined || sectorsWritten === undefined) {
    return undefined;
  }
  return { reads, readBytes: sectorsRead * SECTOR_BYTES, writes, writtenBytes: sectorsWritten * SECTOR_BYTES };
}

/** Microseconds in which some task was stalled, of /proc/pressure/io or a cgroup's io.pressure. */
export function parsePressure(text: string): number | undefined {
  const match = /^some\b[^\n]*\btotal=(\d+)\s*$/m.exec(text.slice(0, LINE_MAX));
  return counter(match?.[1] ?? '');
}

/** Bytes that this process had read from storage (proc_pid_io(5)). */
export function parseOwnRead(text: string): number | undefined {
  return counter(/^read_bytes: (\d+)$/m.exec(text.slice(0, LINE_MAX))?.[1] ?? '');
}

/** The folder of the cgroup v2 of this process, below where that is mounted. */
export function parseCgroup(text: string): string | undefined {
  return /^0::(\/[^\n]*)$/m.exec(text.slice(0, LINE_MAX * 4))?.[1];
}

/** The device that is mounted under this number, as a path: where the number itself is of no device (btrfs). */
export function parseMountSource(mountinfo: string, device: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    if (before.split(' ')[2] !== device) continue;
    const source = after.split(' ')[1];
    if (source?.startsWith('/dev/')) return source;
  }
  return undefined;
}

/** As the kernel writes a device's number: MAJOR:MINOR. */
export function deviceNumber(dev: bigint): string {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${BigInt.asUintN(32, minor)}`;
}

function counter(text: string): number | undefined {
  const value = /^\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}
