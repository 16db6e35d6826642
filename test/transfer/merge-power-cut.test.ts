import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { FileLayer } from '../../src/platform/file-layer.js';
import {
  CHAIN_KINDS,
  type ChainKind,
  makeChain,
  mergeInline,
  needChain,
  readThrough,
} from '../support/merge-chains.js';
import { cutAfter, diskAfter, type Fate, fatesOf, reboot } from '../support/power-cut.js';
import { RecordingFiles } from '../support/recording-files.js';
import { Seeded } from '../support/seeded.js';

const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? 20260101);
/** Of each merge: so many cuts anywhere, and twice as many at its end. */
const CUTS = Math.ceil(Number(process.env.BLOCKFERRY_CRASH_KILLS ?? 50) / 10);
const FATES_MAX = 3;
const SIZE = 2 * MiB;
const SECTOR = 512;
const scratch = mkdtempSync(join(tmpdir(), 'merge-power-cut-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let folders = 0;
function newFolder(): string {
  const folder = join(scratch, `folder-${folders++}`);
  mkdirSync(folder);
  return folder;
}

type Cut = ReturnType<typeof cutAfter>;

/** A storage writes a sector wholly or not at all; the formats count on that. */
function atSectors({ pending }: Cut, fates: readonly Fate[]): Fate[] {
  return fates.map((fate, index) => {
    const undecided = pending[index];
    if (typeof fate === 'string' || undecided?.kind !== 'bytes' || undecided.change.kind !== 'write') return fate;
    const { at, bytes } = undecided.change;
    const cut = fate.end === 'head' ? bytes.length * fate.share : bytes.length * (1 - fate.share);
    const sector = Math.floor((at + cut) / SECTOR) * SECTOR - at;
    const kept = fate.end === 'head' ? sector : bytes.length - sector;
    if (sector <= 0) return fate.end === 'head' ? 'dropped' : 'kept';
    return { end: fate.end, share: (kept + 0.5) / bytes.length };
  });
}

function someFates({ pending }: Cut, seeded: Seeded): Fate[][] {
  const all = [...fatesOf(pending, FATES_MAX - 2, seeded)];
  while (all.length > FATES_MAX) all.splice(seeded.int(0, all.length - 1), 1);
  return all;
}

interface Recorded {
  readonly recording: RecordingFiles;
  readonly content: Buffer;
  /** What is merged, and what the disk is read through: names in the folder. */
  readonly child: string;
  readonly top: string;
  readonly parent: string;
}

async function record(kind: ChainKind, into?: 'base'): Promise<Recorded> {
  const folder = newFolder();
  const chain = makeChain(kind, folder, new Seeded(seed), SIZE);
  const recording = new RecordingFiles(folder);
  const merged = into === 'base' ? chain.top : chain.child;
  await mergeInline(merged, recording.layer, into);
  const [top, parent] = [basename(chain.top), basename(chain.parent)];
  return { recording, content: chain.content, child: basename(merged), top, parent };
}

/** Some cuts anywhere, and all behind the last batches, where one file after the other changes. */
function someCuts(entries: number, seeded: Seeded): number[] {
  const anywhere = Array.from({ length: CUTS }, () => seeded.int(0, entries));
  const last = Array.from({ length: Math.min(entries, 2 * CUTS) }, (_, at) => entries - at);
  return [...new Set([...anywhere, ...last])];
}

async function finish(folder: string, child: string, files: FileLayer, into?: 'base'): Promise<void> {
  const left = readdirSync(folder).some((name) => name.includes('blockferry'));
  if (existsSync(join(folder, child)) || left) await mergeInline(join(folder, child), files, into);
}

test.for(CHAIN_KINDS.flatMap((kind) => [undefined, 'base' as const].map((into) => ({ kind, into }))))(
  'a disk reads the same whenever the power fails during its merge, and the same call finishes it (%o)',
  { timeout: 600_000 },
  async ({ kind, into }, context) => {
    needChain(context, kind);
    const { recording, content, child, top, parent } = await record(kind, into);
    const seeded = new Seeded(seed);
    for (const count of someCuts(recording.log.length, seeded)) {
      const cut = cutAfter(recording.log, count);
      for (const fates of someFates(cut, seeded)) {
        const sectors = atSectors(cut, fates);
        const { folder, files } = reboot(diskAfter(recording, cut, sectors), recording, newFolder());
        const about = `seed ${seed}, cut after entry ${count} of the log, fates ${JSON.stringify(sectors)}`;
        const end = join(folder, existsSync(join(folder, top)) ? top : parent);
        expect((await readThrough(end)).equals(content), about).toBe(true);
        await finish(folder, child, files, into);
        const left = readdirSync(folder).filter((name) => name.includes('blockferry') || name === child);
        expect({ left, same: (await readThrough(join(folder, into ? parent : top))).equals(content) }, about).toEqual({
          left: [],
          same: true,
        });
        rmSync(folder, { recursive: true });
      }
    }
  },
);
