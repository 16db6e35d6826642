/** Chains of the corpus as the product opens them: local files, and parents found by what their children say. */
import { expect } from 'vitest';
import type { Location, Source } from '../../src/core/endpoint.js';
import type { DiskChain } from '../../src/disk/chain.js';
import { openChain } from '../../src/disk/open-chain.js';
import { localScheme } from '../../src/endpoint/local.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { realFiles } from '../../src/platform/file-layer.js';
import type { CorpusImage } from './disk-corpus.js';

const local = localScheme(realFiles);

/** Opens the image and what it builds on, found as it names it; does the work, and closes them. */
export async function withChain<T>({ links }: CorpusImage, work: (chain: DiskChain) => T | Promise<T>): Promise<T> {
  const [child] = links;
  const open = async (location: Location) => (await local.openSource?.(location)) as Source;
  const request = { location: parseLocation(child?.path ?? ''), ...(child && { format: child.format }) };
  const opened = await openChain(request, { open, locate: parseLocation });
  try {
    expect(opened.links.map(({ location }) => location.text)).toEqual(links.map(({ path }) => path));
    return await work(opened.chain);
  } finally {
    await opened.close();
  }
}
