/**
 * Three test files at a time, each in its own process, because tests kill processes and mount file systems. They mostly
 * wait, so that two cores are enough. What copies keep in the state folder goes into one of the tests' own.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** What tests make once and share in a run. */
const run = mkdtempSync(join(tmpdir(), 'blockferry-test-run-'));
const state = join(run, 'state');
mkdirSync(state);
process.on('exit', () => rmSync(run, { recursive: true, force: true }));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    env: { BLOCKFERRY_STATE: state, BLOCKFERRY_TEST_RUN: run },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 3,
  },
});
