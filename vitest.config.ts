/**
 * Two test files at a time, each in its own process, because tests kill processes and mount file systems. What copies
 * keep in the state folder goes into one of the tests' own.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const state = mkdtempSync(join(tmpdir(), 'blockferry-state-'));
process.on('exit', () => rmSync(state, { recursive: true, force: true }));

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    env: { BLOCKFERRY_STATE: state },
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
