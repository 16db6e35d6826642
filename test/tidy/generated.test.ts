/** Pages that are made from the code are the ones that the code makes; and the man page is one that man can read. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Commands, createProgram } from '../../src/cli/program.js';
import { ERROR_KINDS } from '../../src/core/errors.js';
import { apiPage, apiPath } from '../support/api-page.mjs';
import { commandsOf, fullName, manPage, manPath } from '../support/man-page.mjs';

const made = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
const program = () => createProgram({} as Commands);

test('the man page is what the command line says of itself: npm run man', () => {
  expect(made(manPath)).toBe(manPage(program()));
});

test('the page of the library is what its docstrings say: npm run docs', () => {
  expect(made(apiPath)).toBe(apiPage(ERROR_KINDS));
});

test('the man page has no warnings', (context) => {
  context.skip(spawnSync('groff', ['--version']).status !== 0, 'needs groff');
  const { stderr, status } = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-b', manPath], { encoding: 'utf8' });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
});

test('man shows each command and each option', (context) => {
  context.skip(spawnSync('man', ['--version']).status !== 0, 'needs man');
  const env = { ...process.env, MANWIDTH: '80', LC_ALL: 'C.UTF-8' };
  const page = execFileSync('man', ['--warnings', '-l', manPath], { encoding: 'utf8', env });
  for (const command of commandsOf(program())) {
    if (command.commands.length === 0) expect(page).toContain(fullName(command));
    for (const option of command.options) expect(page).toContain(option.long);
  }
});

test('the help of every command fits into 80 columns and ends in examples', () => {
  for (const command of commandsOf(program())) {
    let help = '';
    const print = (text: string): void => {
      help += text;
    };
    command.configureOutput({ writeOut: print }).outputHelp();
    expect(Math.max(...help.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(help).toMatch(/\nExamples?:\n {2}\S/);
    expect(help).not.toContain('default: []');
  }
});
