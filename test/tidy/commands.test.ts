/** The commands that the README promises are the ones that exist, and that the checks of every change run. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { debianPackages } from '../support/debian-packages.mjs';
import { projectRoot } from './source-files.js';

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8');
const manifest: { scripts: Record<string, string>; bin: Record<string, string> } = JSON.parse(read('package.json'));
const demoCommand = 'npm ci && npm run demo';
const testCommand = 'npm ci && npm test';

test('the README opens with two commands for a fresh machine: the demo and the tests', () => {
  const commands = [...read('README.md').matchAll(/\bnpm ci\b[^\n`]*/g)].map((match) => match[0].split('#')[0]?.trim());
  expect(commands.slice(0, 2)).toEqual([demoCommand, testCommand]);
});

test('every change is checked with the test command of the README', () => {
  expect(read('.ci/run')).toContain(testCommand);
  expect(statSync(join(projectRoot, '.ci/run')).mode & 0o111).not.toBe(0);
});

test('every script, and the command itself, starts a file that exists', () => {
  const started = Object.values(manifest.scripts).flatMap(
    (script) => script.match(/(dist|test)\/\S+\.m?js(?=\s|$)/g) ?? [],
  );
  expect(started.length).toBeGreaterThan(3);
  const missing = [...started, ...Object.values(manifest.bin)]
    .map((path) => path.replace(/^dist\/(.*)\.js$/, '$1.ts'))
    .filter((path) => !existsSync(join(projectRoot, path)));
  expect(missing).toEqual([]);
});

test('each Debian package says which tests need it', () => {
  const names = debianPackages.map((entry) => entry.name);
  expect(new Set(names).size).toBe(names.length);
  expect(debianPackages.filter((entry) => entry.neededBy === '' || entry.command === '')).toEqual([]);
});
