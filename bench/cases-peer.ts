/**
 * The cases that move one file between two Blockferrys on loopback, beside curl and an nginx over the same TLS, which
 * hash nothing.
 */
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { MiB } from '../src/core/units.js';
import { nginxAvailable, startNginx } from '../test/support/nginx.js';
import { type PeerHost, startPeerHost } from '../test/support/peer-host.js';
import { TcpProxy } from '../test/support/tcp-proxy.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  copyCommand,
  isPresent,
  leftOut,
  NOT_SHARED,
  runSeries,
  wallTimes,
} from './measure.js';
import { valueFinding } from './statistics.js';

const CIPHER = 'TLS_AES_128_GCM_SHA256';
const PAIRS_MAX = 5;
const DIRECTIVES = [
  'ssl_protocols TLSv1.3;',
  `ssl_conf_command Ciphersuites ${CIPHER};`,
  'dav_methods PUT;',
  'client_max_body_size 0;',
].join(' ');

function peerCase(name: string, title: string, contenders: (ends: Ends) => readonly Contender[]): BenchCase {
  return {
    name,
    title,
    sourceBytes: (size) => size,
    pairsMax: PAIRS_MAX,
    run: async (bench) => {
      if (!nginxAvailable()) return leftOut('nginx is not installed');
      const source = await bench.workspace.source(bench.sizeBytes);
      const root = bench.workspace.folder;
      const host = await startPeerHost({ root });
      const serve = join(host.state, 'serve');
      const tls = { cert: join(serve, 'cert.pem'), key: join(serve, 'key.pem') };
      const nginx = await startNginx(root, { tls, directives: DIRECTIVES });
      process.env.BLOCKFERRY_PEER_TOKEN = host.token;
      try {
        return await move(bench, source, contenders({ bench, host, source, url: nginx.urls[0] as string }));
      } finally {
        delete process.env.BLOCKFERRY_PEER_TOKEN;
        await nginx.stop();
        await host.stop();
      }
    },
  };
}

interface Ends {
  readonly bench: Bench;
  readonly host: PeerHost;
  readonly source: string;
  /** Of the nginx. */
  readonly url: string;
}

async function move(bench: Bench, source: string, contenders: readonly Contender[]): Promise<CaseResult> {
  const check = (target: string): Promise<void> => assertSame(source, target, bench.signal);
  const warmBytes = bench.sizeBytes;
  const results = await runSeries(bench, { contenders, cached: source, warmBytes, check });
  const findings = compareWith(results, 'nginx + curl', 'ours / theirs', { kind: 'at most', value: 1, aim: 0.77 });
  const missing = contenders.filter((contender) => !isPresent(contender));
  return { contenders: results, findings, notes: missing.map(({ tool }) => `left out: ${tool} is not installed`) };
}

function curl(target: string, ...args: readonly string[]): Contender {
  const argv = ['curl', '-sSfk', '--tlsv1.3', '--tls13-ciphers', CIPHER, ...args];
  return { name: 'nginx + curl', argv, target, tool: 'curl' };
}

const down = peerCase('peer', 'copy --no-sync from a peer on loopback, beside curl from nginx', (ends) => {
  const { bench, host, source, url } = ends;
  const curled = bench.workspace.path('curled');
  return [
    blockferry(['--no-sync', host.at(basename(source))], bench.workspace.path('ours')),
    curl(curled, '-o', curled, `${url}/${basename(source)}`),
  ];
});

const up = peerCase('peer-up', 'copy --no-sync to a peer on loopback, beside curl -T to nginx', (ends) => {
  const { bench, host, source, url } = ends;
  const [ours, curled] = ['ours', 'curled'].map((name) => bench.workspace.path(name)) as [string, string];
  const argv = copyCommand(...NOT_SHARED, '--no-sync', source, host.at(basename(ours)));
  return [{ name: 'blockferry', argv, target: ours }, curl(curled, '-T', source, `${url}/${basename(curled)}`)];
});

/** 200 Mbit, and a round trip of 50 ms. */
const FAR = { rateBytesPerSecond: 25_000_000, delayMs: 25 };
const FAR_BYTES = 512 * MiB;

const far: BenchCase = {
  name: 'peer-far',
  title: 'copy --no-sync from and to a peer behind a link of 200 Mbit with a round trip of 50 ms',
  sourceBytes: () => FAR_BYTES,
  pairsMax: 3,
  run: async (bench) => {
    const source = await bench.workspace.source(bench.quick ? bench.sizeBytes : FAR_BYTES);
    const bytes = statSync(source).size;
    const [down, up] = ['down', 'up'].map((name) => bench.workspace.path(name)) as [string, string];
    const host = await startPeerHost({ root: bench.workspace.folder });
    const link = await TcpProxy.start(host.port, FAR);
    const at = (path: string): string => host.at(basename(path)).replace(`:${host.port}/`, `:${link.port}/`);
    process.env.BLOCKFERRY_PEER_TOKEN = host.token;
    try {
      const contenders = [
        blockferry(['--no-sync', at(source)], down, 'from it'),
        { name: 'to it', argv: copyCommand(...NOT_SHARED, '--no-sync', source, at(up)), target: up },
      ];
      const check = (target: string): Promise<void> => assertSame(source, target, bench.signal);
      const results = await runSeries(bench, { contenders, cached: source, warmBytes: 0, check });
      const findings = results.map((result) => {
        const shares = wallTimes(result).map((seconds) => (bytes / seconds / FAR.rateBytesPerSecond) * 100);
        return valueFinding(`${result.name}: of the link's rate`, '%', shares, { kind: 'at least', value: 90 });
      });
      return { contenders: results, findings, notes: [] };
    } finally {
      delete process.env.BLOCKFERRY_PEER_TOKEN;
      await link.stop();
      await host.stop();
    }
  },
};

export const peerCases: readonly BenchCase[] = [down, up, far];
