/**
 * The case that clones a file: blocks that two files share cost no copying, but Blockferry still hashes what it cloned.
 * It needs a file system with shared blocks: that of `--dir`, or else a loop-mounted xfs or btrfs.
 */
import { spawnSync } from 'node:child_process';
import { statfs, writeFile } from 'node:fs/promises';
import { MiB } from '../src/core/units.js';
import { type LoopKind, mountLoop, mountsAvailable } from '../test/support/mounts.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  compareWith,
  leftOut,
  refusal,
  runSeries,
} from './measure.js';
import { Workspace } from './workspace.js';

const KINDS: readonly LoopKind[] = ['xfs', 'btrfs'];
const PROBE_BYTES = 32 * MiB;
/** The source, what `cp --reflink=never` makes of it, and room to spare. */
const IMAGE_TIMES = 3;
const IMAGE_MIB_MIN = 512;

export const reflinkCase: BenchCase = {
  name: 'reflink',
  title: 'copy --reflink always, which hashes the clone, beside cp --reflink=always and never; all without a flush',
  sourceBytes: (size) => 2 * size,
  run: async (bench) => {
    if (clonesIn(bench.workspace)) return orRefusal(bench);
    const kind = KINDS.find((one) => mountsAvailable(one));
    if (kind === undefined) {
      return leftOut(
        'the folder has no shared blocks, and nothing may be mounted: try it as root with ' +
          'unshare -m --propagation private env BLOCKFERRY_TEST_MOUNTS=1 npm run bench -- reflink',
      );
    }
    const mount = await mountLoop(kind, Math.max(IMAGE_MIB_MIN, (IMAGE_TIMES * bench.sizeBytes) / MiB));
    try {
      const workspace = await Workspace.open(mount.folder, 0, bench.signal);
      const result = await orRefusal({ ...bench, workspace }).finally(() => workspace.close());
      return { ...result, notes: [`on a loop-mounted ${kind}`, ...result.notes] };
    } finally {
      await mount.unmount();
    }
  },
};

/** Asked of the file system itself. */
function clonesIn(workspace: Workspace): boolean {
  const [one, other] = [workspace.path('clone-probe'), workspace.path('clone-probe-target')];
  return spawnSync('sh', ['-c', 'echo 1 >"$0" && cp --reflink=always "$0" "$1"', one, other]).status === 0;
}

async function orRefusal(bench: Bench): Promise<CaseResult> {
  const { workspace } = bench;
  const [source, target] = [workspace.path('probe'), workspace.path('probe-target')];
  await writeFile(source, Buffer.alloc(PROBE_BYTES, 1), { flush: true });
  const freeBefore = await freeBytes(workspace.folder);
  const said = refusal(['--reflink', 'always', source, target]);
  const taken = freeBefore - (await freeBytes(workspace.folder));
  await workspace.remove(source);
  await workspace.remove(target);
  if (said !== undefined) return leftOut(`copy --reflink always: ${said}`);
  if (taken > PROBE_BYTES / 2) return leftOut('copy --reflink always copied the blocks instead of sharing them');
  return clone(bench);
}

async function freeBytes(folder: string): Promise<number> {
  spawnSync('sync', ['-f', folder]);
  const { bfree, bsize } = await statfs(folder);
  return bfree * bsize;
}

async function clone(bench: Bench): Promise<CaseResult> {
  const { workspace, sizeBytes, signal } = bench;
  const source = await workspace.source(sizeBytes);
  const cp = (when: string) => {
    const target = workspace.path(`cp-${when}`);
    return { name: `cp --reflink=${when}`, argv: ['cp', `--reflink=${when}`, source, target], target };
  };
  const contenders = [
    blockferry(['--no-sync', '--reflink', 'always', source], workspace.path('ours')),
    cp('always'),
    cp('never'),
  ];
  const check = (target: string): Promise<void> => assertSame(source, target, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: sizeBytes, check });
  const findings = contenders.slice(1).flatMap(({ name }) => compareWith(results, name, 'ours / theirs'));
  return { contenders: results, findings, notes: [] };
}
