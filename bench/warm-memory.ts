/**
 * Makes the memory that a run is about to need cheap to get. A virtual machine gives freed memory back to its host, and
 * the next program then pays for every page's first touch, ten times what the copy itself costs. So a process of its
 * own, this file, touches as much memory and ends; the run that follows finds the pages at hand.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import { KiB, MiB } from '../src/core/units.js';

const PIECE_BYTES = 64 * MiB;
const PAGE_BYTES = 4096;
const FREE_SHARE_MAX = 0.95;
/**
 * Just as much as is needed is not enough: the kernel hands out other pages too, and single runs pay tenfold for them.
 */
const WARM_FACTOR = 3;

/**
 * Touches and frees several times `bytes` of memory, or as much as is free: more would push the source out of the page
 * cache, and memory that is in use is warm already.
 */
export async function warmMemory(bytes: number, signal: AbortSignal): Promise<void> {
  const wanted = Math.min(bytes * WARM_FACTOR, Math.floor(freeBytes() * FREE_SHARE_MAX));
  const child = spawn(execPath, [fileURLToPath(import.meta.url), String(wanted)], { stdio: 'ignore', detached: true });
  const kill = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    await once(child, 'exit');
  } finally {
    signal.removeEventListener('abort', kill);
  }
  signal.throwIfAborted();
}

function freeBytes(): number {
  return Number(/^MemFree:\s*(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * KiB;
}

function touch(bytes: number): void {
  // All of it is held until the end, so that no page is counted twice.
  const held: Buffer[] = [];
  for (let done = 0; done < bytes; done += PIECE_BYTES) {
    const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, bytes - done));
    for (let at = 0; at < piece.length; at += PAGE_BYTES) piece[at] = 1;
    held.push(piece);
  }
}

if (argv[1] === fileURLToPath(import.meta.url)) touch(Number(argv[2]));
