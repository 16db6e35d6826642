import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { needsCommands, openPane, type Pane } from '../support/pane.js';
import { blockferry, workFolder } from './command.js';

/** A folder with a disk, a folder, and the script for a shell. */
async function withScript(shell: string): Promise<string> {
  const { folder } = await workFolder(1);
  mkdirSync(join(folder, 'vms of monday'));
  const { exitCode, out, err } = await blockferry(folder, 'completion', shell).ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  writeFileSync(join(folder, 'script'), out);
  return folder;
}

/** The shell, waiting for its first line, with the script loaded. */
const SHELLS = {
  bash: "PS1='$ ' bash --norc --noprofile --rcfile /dev/null -i",
  zsh: "PS1='$ ' zsh -f -i",
} as const;
const LOADS = {
  bash: "bind 'set completion-query-items 0'; . ./script; clear",
  zsh: 'autoload -U compinit; compinit -u -D; . ./script; clear',
} as const;

async function shellIn(folder: string, shell: 'bash' | 'zsh'): Promise<Pane> {
  const pane = openPane(folder, 100, SHELLS[shell]);
  await pane.until(/\$/);
  pane.keys(LOADS[shell], 'Enter');
  await pane.until(/^\$$/);
  return pane;
}

/** Types a line and presses the tab key, twice for a list: behind a word that is whole it would ask for the next. */
async function completed(pane: Pane, line: string, expected: RegExp, tabs = 1): Promise<void> {
  pane.keys(line, 'Tab');
  for (let tab = 1; tab < tabs; tab++) pane.keys('Tab');
  await pane.until(expected);
  pane.keys('C-e', 'C-u', 'C-l');
  await pane.until(/^\$$/);
}

test.for(['bash', 'zsh'] as const)('%s completes commands, options, their values and files', async (shell, context) => {
  needsCommands(context, 'tmux', shell);
  const pane = await shellIn(await withScript(shell), shell);
  await completed(pane, 'blockferry ver', /^\$ blockferry verify/);
  await completed(pane, 'blockferry copy --re', /--read-back[\s\S]+--recursive[\s\S]+--reflink/, 2);
  await completed(pane, 'blockferry copy --reflink n', /--reflink never/);
  await completed(pane, 'blockferry copy --reflink=al', /--reflink=always/);
  await completed(pane, 'blockferry copy -r --limit 5M di', /disk\.img/);
  await completed(pane, 'blockferry copy vms', /vms\\ of\\ monday\//);
  await completed(pane, 'blockferry completion f', /completion fish/);
  await completed(pane, 'blockferry disk me', /^\$ blockferry disk merge/);
  await completed(pane, 'blockferry disk merge --br', /--break-others/);
  await completed(pane, 'blockferry disk info di', /disk\.img/);
  await completed(pane, 'blockferry job repl', /^\$ blockferry job replace-prefix/);
  await completed(pane, 'blockferry job create --prio', /--priority/);
});

test('no shell offers a file where a number or a job belongs', async (context) => {
  needsCommands(context, 'tmux', 'bash');
  const pane = await shellIn(await withScript('bash'), 'bash');
  pane.keys('blockferry copy --limit di', 'Tab', 'x');
  await pane.until(/--limit dix$/);
  pane.keys('C-u', 'blockferry job watch di', 'Tab', 'x');
  await pane.until(/job watch dix$/);
});

test('fish completes commands, options, their values and files, each with what it is for', async (context) => {
  needsCommands(context, 'fish');
  const folder = await withScript('fish');
  const complete = (line: string): string[] => {
    const script = `source script; complete -C '${line}'`;
    const out = execFileSync('fish', ['--no-config', '-c', script], { cwd: folder, encoding: 'utf8' });
    return out.split('\n').slice(0, -1);
  };
  expect(complete('blockferry ver')[0]).toMatch(/^verify\tcompare /);
  expect(complete('blockferry copy --re').map((line) => line.split('\t')[0])).toEqual([
    '--read-back',
    '--recursive',
    '--reflink',
  ]);
  expect(complete('blockferry copy --reflink n')[0]).toMatch(/^never/);
  expect(complete('blockferry copy -r di')).toEqual(['disk.img']);
  expect(complete('blockferry copy --limit di')).toEqual([]);
  expect(complete('blockferry completion b')[0]).toMatch(/^bash/);
  expect(complete('blockferry disk me')).toEqual([expect.stringMatching(/^merge\tmerge an image/)]);
  expect(complete('blockferry disk merge --br')[0]).toMatch(/^--break-others/);
  expect(complete('blockferry disk info di')).toEqual(['disk.img']);
});

test('a shell that is not known is refused with those that are', async () => {
  const { folder } = await workFolder(1);
  const { exitCode, err } = await blockferry(folder, 'completion', 'tcsh').ended;
  expect(exitCode).toBe(2);
  expect(err).toContain('bash, zsh, fish');
});
