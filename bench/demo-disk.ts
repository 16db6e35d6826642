/**
 * Makes the disk that the demo copies: a valid fixed VHD whose content looks like a used disk, the same bytes at every
 * run. No two blocks of data are alike, so that a block that lands in the wrong place cannot look right.
 */
import { createCipheriv } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { MiB } from '../src/core/units.js';
import { encodeVhdFooter, fixedVhdFooter, VHD_FOOTER_BYTES } from '../src/disk/vhd/footer.js';

/** What a stretch holds: bytes that nothing can compress, lines of text, zeros that were written, or a hole. */
export type StretchKind = 'random' | 'text' | 'zeros' | 'hole';

export const STRETCH_BYTES = 16 * MiB;
const BLOCK_BYTES = MiB;

/** The stretches of a disk go round this list. */
const KINDS: readonly StretchKind[] = [
  ...(['random', 'text', 'hole', 'random', 'zeros', 'text', 'random', 'text'] as const),
  ...(['random', 'random', 'text', 'random', 'hole', 'random', 'text', 'random'] as const),
];

export interface DemoDiskOptions {
  readonly path: string;
  /** Bytes of the disk without the footer: a multiple of {@link STRETCH_BYTES}. */
  readonly sizeBytes: number;
  /** For the footer's time stamp: milliseconds since 1970. */
  readonly createdAtMs: number;
}

export interface DemoDisk {
  /** With the footer. */
  readonly fileBytes: number;
  /** Bytes that are not known to be zero, the footer included. */
  readonly dataBytes: number;
}

export function stretchKind(stretch: number): StretchKind {
  return KINDS[stretch % KINDS.length] ?? 'random';
}

/** Writes the disk to a new file. An abort leaves the file half written and rejects with the signal's reason. */
export async function makeDemoDisk(options: DemoDiskOptions, signal: AbortSignal): Promise<DemoDisk> {
  const { path, sizeBytes, createdAtMs } = options;
  const fileBytes = sizeBytes + VHD_FOOTER_BYTES;
  const file = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY, 0o600);
  try {
    await file.truncate(fileBytes);
    let dataBytes = VHD_FOOTER_BYTES;
    for (let stretch = 0; stretch * STRETCH_BYTES < sizeBytes; stretch++) {
      const kind = stretchKind(stretch);
      if (kind !== 'hole') await writeStretch(file, stretch, STRETCH_MAKERS[kind](stretch), signal);
      if (kind === 'random' || kind === 'text') dataBytes += STRETCH_BYTES;
    }
    const uniqueId = Buffer.from('blockferry demo!', 'latin1');
    await writeAll(file, encodeVhdFooter(fixedVhdFooter({ sizeBytes, uniqueId, createdAtMs })), sizeBytes);
    return { fileBytes, dataBytes };
  } finally {
    await file.close();
  }
}

type BlockMaker = (block: number) => Uint8Array;

const ZEROS = new Uint8Array(BLOCK_BYTES);

const STRETCH_MAKERS: Readonly<Record<Exclude<StretchKind, 'hole'>, (stretch: number) => BlockMaker>> = {
  random: randomBlocks,
  text: textBlocks,
  zeros: () => () => ZEROS,
};

async function writeStretch(file: FileHandle, stretch: number, make: BlockMaker, signal: AbortSignal): Promise<void> {
  for (let block = 0; block < STRETCH_BYTES / BLOCK_BYTES; block++) {
    signal.throwIfAborted();
    await writeAll(file, make(block), stretch * STRETCH_BYTES + block * BLOCK_BYTES);
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

/** The key stream of AES in counter mode: random for every purpose here, repeatable, and as fast as a disk. */
function randomBlocks(stretch: number): BlockMaker {
  const counter = Buffer.alloc(16);
  counter.writeUInt32BE(stretch + 1);
  const cipher = createCipheriv('aes-128-ctr', Buffer.from('blockferry demo.', 'latin1'), counter);
  return () => cipher.update(ZEROS);
}

const LINES = Buffer.from(
  Array.from({ length: 4096 }, (_, line) => {
    const service = ['kernel', 'sshd', 'postgres', 'nginx', 'cron'][(line * 7 + (line >> 3)) % 5];
    const verb = ['started', 'stopped', 'accepted', 'refused', 'finished'][(line * 11 + (line >> 5)) % 5];
    return `2024-05-${String((line % 28) + 1).padStart(2, '0')} ${service}[${(line * 2654435761) % 65536}]: ${verb}\n`;
  }).join(''),
);

/** Lines of a log, each block starting with its own number. */
function textBlocks(stretch: number): BlockMaker {
  const bytes = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0; at < bytes.length; at += LINES.length) LINES.copy(bytes, at);
  return (block) => {
    const number = (stretch * STRETCH_BYTES) / BLOCK_BYTES + block;
    for (let at = 0; at < bytes.length; at += 4096) bytes.write(`block ${number}, page ${at / 4096}\n`, at, 'latin1');
    return bytes;
  };
}
