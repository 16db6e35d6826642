/**
 * What is wrong with the disk images that are copied, and with those that a copy has made. What is no disk image costs
 * a look at its beginning and its end, and loads nothing more. A raw disk is looked at only where it is meant to be
 * one.
 */
import type { Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { openBack, type Target } from '../core/target.js';
import { diskBytes } from './disk-bytes.js';
import { DISK_SCHEME } from './disk-location.js';
import { probeFormat } from './formats.js';
import type { DiskBytes, DiskFormat, Finding } from './image.js';
import type { Made } from './layout-target.js';

const SENTENCES_MAX = 20;

/** Asked at every read. */
type Stopped = () => boolean;

interface Look {
  readonly wrong: readonly string[];
  readonly more: number;
  readonly notes: readonly string[];
}

interface Container {
  readonly source: Source;
  readonly bytes: DiskBytes;
  readonly format: DiskFormat;
}

/** Undefined: it looks like no disk image. */
export async function lookAtSource(source: Source, stopped: Stopped): Promise<Look | undefined> {
  const containers = await containersOf(source);
  if (containers.length === 0) return undefined;
  const written = containers.filter((container) => container.source.isOpenForWriting?.());
  const warnings = written.map(({ bytes }) => `${bytes.name} is open for writing elsewhere: it may change meanwhile`);
  return lookAt(containers, warnings, stopped);
}

async function containersOf(source: Source): Promise<Container[]> {
  const links = source.of === 'content' && (await import('./disk-source.js')).linksOf(source);
  if (links) return links.map((link) => ({ ...link, format: link.image.format }));
  // What is larger than any offset can say is refused by those who open the target.
  if (!Number.isSafeInteger(source.size)) return [];
  const bytes = diskBytes(source);
  const format = await probeFormat(bytes);
  return format === 'raw' ? [] : [{ source, bytes, format }];
}

/** @param size bytes of a target that holds what the source's file holds */
export async function lookAtTarget(target: Target, size: number, stopped: Stopped): Promise<Look | undefined> {
  const { container, fileBytes, format } = (await madeBy(target)) ?? { container: target, fileBytes: size };
  const bytes = diskBytes({
    name: 'the file',
    size: fileBytes,
    openChunk: (range, signal) => openBack(container, range, signal),
  });
  const found = format ?? (await probeFormat(bytes));
  return found === 'raw' ? undefined : lookAt([{ bytes, format: found }], [], stopped);
}

async function lookAt(
  images: readonly Pick<Container, 'bytes' | 'format'>[],
  warnings: readonly string[],
  stopped: Stopped,
): Promise<Look> {
  const { checkOne, checkProbed } = await import('./check.js');
  const wrong: string[] = [];
  const notes = [...warnings];
  let more = 0;
  for (const [index, { bytes, format }] of images.entries()) {
    // Those below it are what their children say.
    const check = index === 0 ? checkProbed : checkOne;
    const { findings, more: unlisted } = (await check(whileNot(stopped, bytes), format)).found;
    more += unlisted;
    for (const finding of findings) {
      const into = finding.severity === 'wrong' ? wrong : notes;
      if (into.length < SENTENCES_MAX) into.push(sentence(bytes, finding));
      else if (into === wrong) more++;
    }
  }
  return { wrong, more, notes };
}

function whileNot(stopped: Stopped, bytes: DiskBytes): DiskBytes {
  return {
    ...bytes,
    read: (range, what) => {
      if (!stopped()) return bytes.read(range, what);
      throw new TransferError('E_STOPPED', 'stopped while the image was checked; what is finished is kept');
    },
  };
}

function sentence({ name }: DiskBytes, { code, message, offset }: Finding): string {
  const where = offset === undefined ? '' : `, byte ${offset}`;
  return `${message.startsWith(name) ? '' : `${name}: `}${message} (${code}${where})`;
}

async function madeBy(target: Target): Promise<Made | undefined> {
  return target.ref.scheme === DISK_SCHEME ? (await import('./layout-target.js')).madeBy(target) : undefined;
}
