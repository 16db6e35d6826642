/**
 * The test command: prepares the machine as far as it may, runs vitest, names what was skipped and why, and ends with
 * one line that counts. It is green only if something ran and nothing failed, in tests or outside of them.
 *
 *   node test/support/run-tests.mjs [--only unit,contract,transfer/crash] [--kills 1000] [--label 'Node 24']
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installMissingPackages, searchPath } from './debian-packages.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const vitest = join(root, 'node_modules/vitest/vitest.mjs');
const reporter = join(root, 'test/support/summary-reporter.mjs');
const privateMounts = ['unshare', '--mount', '--propagation', 'private'];

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' }, // folders or files below test/, separated by commas
    kills: { type: 'string' }, // how often the crash test kills
    label: { type: 'string', default: 'Tests' }, // what the last line begins with
  },
});
const only = options.only.split(',').filter((name) => name !== '');
const say = (line) => process.stdout.write(`${line}\n`);
const scratch = mkdtempSync(join(tmpdir(), 'blockferry-tests-'));

let summary;
let status = 1;
let without = [];
try {
  without = prepare();
  ({ summary, status } = await runVitest());
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
process.exitCode = report(summary, status);

/** Returns what this machine lacks, in words for people. */
function prepare() {
  const { missing, reason } = installMissingPackages(say);
  const lacks = missing.map((entry) => `${entry.command} (Debian package ${entry.name})`);
  for (const entry of missing)
    say(`Missing: ${entry.name}, for ${entry.neededBy}: ${reason}. Those tests are skipped.`);
  const obstacle = whyNoMounts();
  if (obstacle !== '') {
    lacks.push('mounts in a private namespace');
    say(`No mounts in a private namespace: ${obstacle}. Tests that mount are skipped.`);
  }
  process.env.BLOCKFERRY_TEST_MOUNTS = obstacle === '' ? '1' : '0';
  return lacks;
}

/** Tries it, because a user id says little about it: a container's root may lack the right, and others may have it. */
function whyNoMounts() {
  const [command, ...args] = [...privateMounts, 'mount', '-t', 'tmpfs', 'tmpfs', scratch];
  const tried = spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, PATH: searchPath } });
  if (tried.status === 0) return '';
  return tried.error?.message ?? (tried.stderr.trim() || `unshare ended with ${tried.signal ?? tried.status}`);
}

function runVitest() {
  const wrapper = process.env.BLOCKFERRY_TEST_MOUNTS === '1' ? privateMounts : [];
  const filters = only.map((name) => `test/${name}`);
  const args = [vitest, 'run', '--root', root, '--reporter=default', `--reporter=${reporter}`, ...filters];
  const [command, ...rest] = [...wrapper, process.execPath, ...args];
  const summaryFile = join(scratch, 'summary.json');
  const env = { ...process.env, PATH: searchPath, BLOCKFERRY_TEST_SUMMARY: summaryFile };
  if (options.kills !== undefined) env.BLOCKFERRY_CRASH_KILLS = options.kills;
  // Ctrl-C reaches vitest too; this process stays to report what had run.
  process.on('SIGINT', () => undefined);
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, { cwd: root, stdio: 'inherit', env });
    process.on('SIGTERM', () => child.kill('SIGTERM'));
    child.on('error', reject);
    child.on('close', (code) => {
      const written = existsSync(summaryFile) ? JSON.parse(readFileSync(summaryFile, 'utf8')) : undefined;
      resolve({ summary: written, status: code ?? 1 });
    });
  });
}

/** Prints what was skipped and what failed, also outside of tests, and the last line. Returns the exit code. */
function report(found, exitCode) {
  const { passed, failed, skipped, errors } = found ?? { passed: [], failed: [], skipped: [], errors: [] };
  const ran = [...passed, ...failed];
  const problems = [...errors];
  if (found === undefined) problems.push(`vitest ended with ${exitCode} and without a summary`);
  if (found?.interrupted) problems.push('the run was interrupted');
  for (const name of only.length > 0 ? only : ['']) {
    if (!ran.some((test) => test.file.startsWith(`test/${name}`)))
      problems.push(`no test of test/${name} was executed`);
  }
  if (exitCode !== 0 && failed.length + problems.length === 0) problems.push(`vitest ended with ${exitCode}`);

  const defaultReason = without.length > 0 ? `this machine lacks ${without.join(', ')}` : 'by a condition of its own';
  for (const test of skipped) say(`Skipped: ${test.file} > ${test.title}: ${test.reason || defaultReason}`);
  const failures = [...failed.map(({ file, title, reason }) => `${file} > ${title}: ${reason}`), ...problems];
  const counts = `${options.label}: ${passed.length} passed, ${failures.length} failed, ${skipped.length} skipped`;
  const last = [...failures.map((failure) => `Failed: ${failure}`), counts].join('\n');
  say(last);
  // For a caller that has more to say after the tests, and still wants what failed and the counts last.
  if (process.env.BLOCKFERRY_COUNTS_FILE) writeFileSync(process.env.BLOCKFERRY_COUNTS_FILE, last);
  return failures.length === 0 ? 0 : 1;
}
