/**
 * A process of its own, this file, that opens a disk image and goes through all that is allocated. It writes down what
 * it found, how long that took, and how much memory more than before.
 */
import { writeFileSync } from 'node:fs';
import { argv, execPath, memoryUsage, resourceUsage } from 'node:process';
import { fileURLToPath } from 'node:url';
import { nowMs, systemClock } from '../src/core/clock.js';
import { KiB } from '../src/core/units.js';
import { openChain } from '../src/disk/open-chain.js';
import { openLocalSource } from '../src/endpoint/local/source.js';
import { parseLocation } from '../src/endpoint/location.js';
import { realFiles } from '../src/platform/file-layer.js';

const SELF = fileURLToPath(import.meta.url);

export interface MapResult {
  readonly seconds: number;
  readonly memoryBytes: number;
  readonly dataBytes: number;
  readonly extents: number;
}

/** The command that maps the image and writes a {@link MapResult} to a file, as JSON. */
export function mapCommand(image: string, resultFile: string): readonly string[] {
  return [execPath, SELF, image, resultFile];
}

if (argv[1] === SELF) await map(argv[2] ?? '', argv[3] ?? '');

async function map(image: string, resultFile: string): Promise<void> {
  const location = parseLocation(image);
  const before = memoryUsage.rss();
  const startMs = nowMs(systemClock);
  const { chain, close } = await openChain(
    { location },
    { open: async (one) => openLocalSource(realFiles, one), locate: parseLocation },
  );
  let [dataBytes, extents] = [0, 0];
  for await (const { kind, length } of chain.allocation({ offset: 0, length: chain.size })) {
    if (kind === 'data') dataBytes += length;
    extents++;
  }
  const seconds = (nowMs(systemClock) - startMs) / 1000;
  await close();
  const memoryBytes = resourceUsage().maxRSS * KiB - before;
  writeFileSync(resultFile, JSON.stringify({ seconds, memoryBytes, dataBytes, extents } satisfies MapResult));
}
