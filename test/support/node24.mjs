/**
 * Runs a part of the tests on Node 24 as well. It is fetched from the package registry into a temporary folder: as a
 * dependency of the project its `node` would stand before the real one in every script.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const runTests = fileURLToPath(new URL('run-tests.mjs', import.meta.url));
const name = `node-${process.platform}-${process.arch}`;
const folder = mkdtempSync(join(tmpdir(), 'blockferry-node24-'));

try {
  const install = ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', `${name}@24`];
  run('npm', install);
  const node = join(folder, 'node_modules', name, 'bin/node');
  run(node, ['--version']);
  run(node, [runTests, '--label', 'Node 24', ...process.argv.slice(2)]);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function run(command, args) {
  // In the temporary folder, because npm would read the settings of the project in this one.
  const done = spawnSync(command, args, { cwd: folder, stdio: 'inherit' });
  if (done.status !== 0) {
    process.exitCode = 1;
    throw new Error(`${command} ${args.join(' ')}: ${done.error?.message ?? `exit ${done.signal ?? done.status}`}`);
  }
}
