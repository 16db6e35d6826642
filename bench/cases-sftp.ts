/** The cases that fetch a file from a real OpenSSH server on loopback, and send it there, beside OpenSSH's own sftp. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Sshd, sshdMissing, startSshd } from '../test/support/sshd.js';
import { assertSame } from './compare.js';
import {
  type Bench,
  type BenchCase,
  blockferry,
  type CaseResult,
  type Contender,
  compareWith,
  leftOut,
  runSeries,
} from './measure.js';

type Way = 'get' | 'put';

export const sftpCases: readonly BenchCase[] = [
  sftpCase('get', 'copy --no-sync from OpenSSH on loopback, beside sftp get'),
  sftpCase('put', 'copy --no-sync to OpenSSH on loopback, beside sftp put'),
];

function sftpCase(way: Way, title: string): BenchCase {
  return {
    name: `sftp-${way}`,
    title,
    sourceBytes: (size) => size,
    run: async (bench) => {
      const missing = sshdMissing();
      if (missing !== '') return leftOut(missing);
      const sshd = await startSshd();
      const { HOME, SSH_AUTH_SOCK } = process.env;
      try {
        // Where both look for the key, and for that of the server.
        Object.assign(process.env, { HOME: sshd.home, SSH_AUTH_SOCK: '' });
        return await copyAll(bench, sshd, way);
      } finally {
        Object.assign(process.env, { HOME, SSH_AUTH_SOCK: SSH_AUTH_SOCK ?? '' });
        await sshd.stop();
      }
    },
  };
}

async function copyAll(bench: Bench, sshd: Sshd, way: Way): Promise<CaseResult> {
  const { workspace, sizeBytes, signal } = bench;
  const source = await workspace.source(sizeBytes);
  const [ours, theirs] = [workspace.path('ours'), workspace.path('theirs')];
  const contenders: readonly Contender[] = [
    way === 'get'
      ? blockferry(['--no-sync', sshd.url(source)], ours)
      : { ...blockferry(['--no-sync', source], sshd.url(ours)), target: ours },
    { name: 'sftp', argv: await sftp(sshd, way, source, theirs), target: theirs, tool: 'sftp' },
  ];
  const check = (target: string): Promise<void> => assertSame(source, target, signal);
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: sizeBytes, check });
  const findings = compareWith(results, 'sftp', 'ours / theirs', { kind: 'at most', value: 0.7 });
  return { contenders: results, findings, notes: [] };
}

/** With its own defaults: 64 requests of 32 KiB under way, and the cipher that both sides prefer. */
async function sftp({ home, port, scratch }: Sshd, way: Way, source: string, target: string): Promise<string[]> {
  const batch = join(scratch, `batch-${way}`);
  await writeFile(batch, `${way} "${source}" "${target}"\n`);
  const known = `UserKnownHostsFile=${join(home, '.ssh', 'known_hosts')}`;
  const options = ['-q', '-F', 'none', '-o', known, '-i', join(home, '.ssh', 'id_ed25519'), '-P', String(port)];
  return ['sftp', ...options, '-b', batch, '127.0.0.1'];
}
