/** The case that copies to and from a real Ceph gateway on loopback, beside rclone with its fastest flags. */
import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { MiB } from '../src/core/units.js';
import { type Ceph, cephAvailable, startCeph } from '../test/support/ceph.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  isPresent,
  leftOut,
  peaksMiB,
  runSeries,
} from './measure.js';
import { worstFinding } from './statistics.js';

const BUCKET = 'bench';
/** The gateway keeps all of it in memory, what was replaced as well for a while. */
const SIZE_MAX = 512 * MiB;
const RSS_BOUND = { kind: 'at most', value: 250 } as const;
const LANES = '16';
/** The fastest of those that were tried, on two cores. */
const RCLONE_UP = [
  ...['--s3-upload-concurrency', '8', '--s3-chunk-size', '16M', '--s3-disable-checksum'],
  ...['--no-check-dest', '--ignore-times'],
];
const RCLONE_DOWN = [
  '--multi-thread-streams',
  '8',
  '--multi-thread-cutoff',
  '1M',
  '--ignore-times',
  '--ignore-checksum',
];

export const s3Case: BenchCase = {
  name: 's3',
  title: 'copy to and from a Ceph gateway on loopback, beside rclone copyto with its fastest flags',
  sourceBytes: (size) => Math.min(size, SIZE_MAX),
  run: async (bench) => {
    if (!cephAvailable()) return leftOut('the Ceph gateway is not installed');
    const source = await bench.workspace.source(Math.min(bench.sizeBytes, SIZE_MAX));
    const ceph = await startCeph();
    Object.assign(process.env, ceph.env);
    try {
      await ceph.makeBucket(BUCKET);
      return await bothWays(bench, ceph, source);
    } finally {
      await ceph.stop();
    }
  },
};

async function bothWays(bench: Bench, ceph: Ceph, source: string): Promise<CaseResult> {
  const warmBytes = Math.min(bench.sizeBytes, SIZE_MAX);
  const [fetched, ours, wide, theirs] = ['fetched', 'ours', 'wide', 'theirs'].map(
    bench.workspace.path,
    bench.workspace,
  );
  const up = [
    blockferry(['--overwrite', source], `s3://${BUCKET}/up`, 'blockferry up'),
    rclone('rclone up', ceph, [...RCLONE_UP, source, `:s3:${BUCKET}/rclone`], `s3://${BUCKET}/rclone`),
    blockferry(['--overwrite', '--lanes', LANES, source], `s3://${BUCKET}/wide`, 'blockferry up, 16 lanes'),
  ];
  const checkUp = async (target: string): Promise<void> => {
    const answer = await ceph.client.fetch(`${ceph.endpoint}/${BUCKET}/${basename(target)}`);
    await writeFile(fetched as string, Buffer.from(await answer.arrayBuffer()));
    await assertSame(source, fetched as string, bench.signal);
    await bench.workspace.remove(fetched as string);
  };
  const uploads = await runSeries(bench, { contenders: up, cached: source, warmBytes, check: checkUp });
  const stored = `s3://${BUCKET}/up`;
  const down = [
    blockferry(['--no-sync', stored], ours as string, 'blockferry down'),
    rclone('rclone down', ceph, [...RCLONE_DOWN, `:s3:${BUCKET}/up`, theirs as string], theirs as string),
    blockferry(['--no-sync', '--lanes', LANES, stored], wide as string, 'blockferry down, 16 lanes'),
  ];
  const checkDown = (target: string): Promise<void> => assertSame(source, target, bench.signal);
  const downloads = await runSeries(bench, { contenders: down, warmBytes, check: checkDown });
  const bound = { kind: 'at most', value: 1, aim: 0.8 } as const;
  const missing = [...up, ...down].filter((contender) => !isPresent(contender));
  return {
    contenders: [...uploads, ...downloads],
    findings: [
      ...compareWith(uploads, 'rclone up', 'ours / theirs', bound),
      ...compareWith(downloads, 'rclone down', 'ours / theirs', bound),
      ...[uploads, downloads].map((results) =>
        worstFinding('peak memory, 16 lanes', 'MiB', peaksMiB(results.at(-1)), RSS_BOUND),
      ),
    ],
    notes: missing.map(({ name }) => `without ${name}: it is not installed`),
  };
}

/** It does not start where AWS_CA_BUNDLE is set, which no gateway on loopback needs. */
function rclone(name: string, { endpoint, env }: Ceph, args: readonly string[], target: string): Contender {
  const who = [
    '--s3-access-key-id',
    env.AWS_ACCESS_KEY_ID ?? '',
    '--s3-secret-access-key',
    env.AWS_SECRET_ACCESS_KEY ?? '',
  ];
  const to = ['--config', '', '--s3-provider', 'Ceph', '--s3-endpoint', endpoint];
  return {
    name,
    argv: ['env', '-u', 'AWS_CA_BUNDLE', 'rclone', ...to, ...who, 'copyto', ...args],
    target,
    tool: 'rclone',
  };
}
