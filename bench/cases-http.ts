/** The case that fetches one file from a real nginx on loopback, beside the programs that people use for it. */
import { basename, dirname } from 'node:path';
import { nginxAvailable, startNginx } from '../test/support/nginx.js';
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
  runSeries,
} from './measure.js';

export const httpCase: BenchCase = {
  name: 'http',
  title: 'copy --no-sync from nginx on loopback, beside curl -o and aria2c -x4',
  sourceBytes: (size) => size,
  run: async (bench) => {
    if (!nginxAvailable()) return leftOut('nginx is not installed');
    const source = await bench.workspace.source(bench.sizeBytes);
    const nginx = await startNginx(bench.workspace.folder);
    try {
      return await fetchAll(bench, source, `${nginx.urls[0]}/${basename(source)}`);
    } finally {
      await nginx.stop();
    }
  },
};

async function fetchAll(bench: Bench, source: string, url: string): Promise<CaseResult> {
  const { workspace, sizeBytes, signal } = bench;
  const curled = workspace.path('curled');
  const contenders: readonly Contender[] = [
    blockferry(['--no-sync', url], workspace.path('ours')),
    { name: 'curl', argv: ['curl', '-sSf', '-o', curled, url], target: curled, tool: 'curl' },
    aria2(url, workspace.path('aria2')),
  ];
  const check = (target: string): Promise<void> => assertSame(source, target, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: sizeBytes, check });
  const findings = [
    ...compareWith(results, 'curl', 'ours / theirs', { kind: 'at most', value: 1.1, aim: 0.9 }),
    ...compareWith(results, 'aria2c', 'ours / theirs', { kind: 'at most', value: 0.75 }),
  ];
  const missing = contenders.filter((contender) => !isPresent(contender));
  return { contenders: results, findings, notes: missing.map(({ name }) => `without ${name}: it is not installed`) };
}

function aria2(url: string, target: string): Contender {
  const argv = ['aria2c', '--no-conf', '-q', '-x4', '-d', dirname(target), '-o', basename(target), url];
  return { name: 'aria2c', argv, target, tool: 'aria2c' };
}
