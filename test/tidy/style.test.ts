/** The parts of the house style that no linter knows: sizes, the one clock, and the words of the project. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { codeOnly, places, projectRoot, type SourceFile, sourceFiles } from './source-files.js';

const everything = [...sourceFiles('src', 'workers', 'bench', 'test'), ownFile('vitest.config.ts')];
const shipped = sourceFiles('src', 'workers');
const clockFile = 'src/core/clock.ts';

// Spelled in two halves, so that this file does not find itself.
const unfinished = new RegExp(`\\b(${'TO'}DO|${'FIX'}ME|${'XX'}X)\\b`);
const focused = new RegExp(`\\.${'on'}ly\\(`);
const ownClock = /\bDate\.now\(|\bnew Date\(\)|\b(setTimeout|setInterval)\b|\bnode:timers\b/;
const foreignWord = /(?<![\w$])(src|dst|backend)(?![\w$])/;
const machinePath = /(?<![\w.])\/(work|home|root|Users)\/\w/;

function ownFile(path: string): SourceFile {
  return { path, text: readFileSync(join(projectRoot, path), 'utf8') };
}

function findIn(files: readonly SourceFile[], pattern: RegExp, view = (text: string) => text): readonly string[] {
  expect(files.length).toBeGreaterThan(0);
  return files.flatMap((file) => places(file, pattern, view(file.text)));
}

test('a file has at most 300 lines, so that it is about one thing', () => {
  const long = everything.filter((file) => file.text.trimEnd().split('\n').length > 300);
  expect(long.map((file) => file.path)).toEqual([]);
});

test('a line has at most 120 columns', () => {
  expect(findIn(everything, /^.{121,}$/u)).toEqual([]);
});

test('a file opens by saying what it is for; a test file says it by its titles', () => {
  const others = everything.filter((file) => !file.path.endsWith('.test.ts'));
  const silent = others.filter((file) => !/^(#!.*\n)?\/\*\*/.test(file.text));
  expect(silent.map((file) => file.path)).toEqual([]);
});

test('nothing but the clock asks for the time or sets a timer, so that tests own the time', () => {
  const others = shipped.filter((file) => file.path !== clockFile);
  expect(findIn(others, ownClock, codeOnly)).toEqual([]);
  expect(findIn([ownFile(clockFile)], ownClock, codeOnly)).not.toEqual([]);
});

test('the code says source, target and endpoint', () => {
  expect(findIn(shipped, foreignWord, codeOnly)).toEqual([]);
});

test('no test is left focused, and nothing is left unfinished', () => {
  expect(findIn(everything, focused)).toEqual([]);
  expect(findIn(everything, unfinished)).toEqual([]);
});

test('no page and no file of the project names a path of one machine', () => {
  const pages = readdirSync(projectRoot).filter((name) => /\.(md|json|ts)$|^\.npmrc$|^LICENSE$/.test(name));
  expect(findIn([...pages.map(ownFile), ...shipped], machinePath)).toEqual([]);
});

test('the rules find what they are for', () => {
  const sample = (text: string): readonly SourceFile[] => [{ path: 'sample.ts', text }];
  const finds = (pattern: RegExp, text: string): boolean => findIn(sample(text), pattern, codeOnly).length > 0;
  expect(finds(ownClock, 'const late = Date.now() > end;')).toBe(true);
  expect(finds(ownClock, 'await new Promise((done) => setTimeout(done, 5));')).toBe(true);
  expect(finds(foreignWord, 'function copy(src: string) {}')).toBe(true);
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the sample is code.
  expect(finds(foreignWord, 'const line = `from ${dst}`;')).toBe(true);
  expect(finds(foreignWord, "const quote = /[\"']/; const backend = '';")).toBe(true);
  expect(finds(foreignWord, "import { a } from '../src/a.js'; // the backend")).toBe(false);
  expect(finds(foreignWord, 'const line = `the backend`;')).toBe(false);
  expect(finds(foreignWord, 'const srcset = element.dataset;')).toBe(false);
  expect(findIn(sample(`test${'.on'}ly('x')`), focused)).toEqual(['sample.ts:1']);
  expect(findIn(sample(`\n// ${'TO'}DO later`), unfinished)).toEqual(['sample.ts:2']);
  expect(findIn(sample('see /home/someone/notes'), machinePath)).toEqual(['sample.ts:1']);
  expect(findIn(sample('see ./home/page and https://example.org/home/page'), machinePath)).toEqual([]);
});
