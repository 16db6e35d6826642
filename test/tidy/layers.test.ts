/** Imports go down only. This reads the import lines of src and workers, and fails with the rule and its reason. */
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { importedSpecifiers, sourceFiles } from './source-files.js';

const levels: Readonly<Record<string, number>> = {
  core: 0,
  endpoint: 1,
  disk: 1,
  journal: 1,
  platform: 1,
  yield: 1,
  transfer: 2,
  tree: 3,
  benchmark: 3,
  service: 4,
  migrate: 5,
  daemon: 6,
  cli: 7,
  api: 7,
  index: 7,
  compose: 7,
  workers: 7,
};

/** The only imports between different parts of one level. */
const sideways: ReadonlySet<string> = new Set([
  'endpoint > platform',
  'disk > platform',
  'journal > platform',
  'cli > index',
  'cli > compose',
  'index > api',
  'api > compose',
  'workers > compose',
]);

/** Parts that are one choice among several: only compose.ts, and their own folder, may name them. */
const ends = 'local|http|s3|sftp|webdav|peer|memory|null|zero';
const concrete = new RegExp(`^src/(endpoint/(${ends})\\b|journal/file-|service/store/sqlite-|transfer/(pool|inline)-)`);

/** "core" for src/core/units.ts, "index" for src/index.ts, "workers" for workers/chunk-worker.ts. */
function partOf(path: string): string {
  return path.replace(/^src\//, '').replace(/[/.].*$/, '');
}

/** What is wrong with one import, or undefined. Imports of packages and of Node itself are always allowed. */
function brokenRule(from: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const to = posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts');
  const [fromPart, toPart] = [partOf(from), partOf(to)];
  const [fromLevel, toLevel] = [levels[fromPart], levels[toPart]];
  const said = `${from} imports ${specifier}`;
  if (fromLevel === undefined || toLevel === undefined) {
    const homeless = fromLevel === undefined ? fromPart : toPart;
    return `${said}: "${homeless}" has no level, and the house has a place for everything`;
  }
  if (toLevel > fromLevel) {
    const where = `${fromPart} is level ${fromLevel}, ${toPart} is ${toLevel}`;
    return `${said}: imports go down only (${where}), so that what is below can be understood and tested alone`;
  }
  if (toLevel === fromLevel && fromPart !== toPart && !sideways.has(`${fromPart} > ${toPart}`)) {
    return `${said}: parts of one level never import each other, so that each can be replaced alone`;
  }
  if (concrete.test(to) && fromPart !== 'compose' && fromPart !== toPart) {
    return `${said}: only compose.ts names concrete parts, so that nothing else asks which kind it has`;
  }
  return undefined;
}

test('imports go down only, and only compose.ts names concrete parts', () => {
  const files = sourceFiles('src', 'workers');
  expect(files.length).toBeGreaterThan(5);
  const imports = files.flatMap((file) => importedSpecifiers(file.text).map((specifier) => ({ file, specifier })));
  expect(imports.length).toBeGreaterThan(files.length);
  expect(imports.flatMap(({ file, specifier }) => brokenRule(file.path, specifier) ?? [])).toEqual([]);
});

test.each([
  ['src/core/units.ts', '../platform/libc.js', 'imports go down only'],
  ['src/endpoint/http.ts', '../transfer/retry.js', 'imports go down only'],
  ['src/transfer/plan.ts', '../compose.js', 'imports go down only'],
  ['src/endpoint/local.ts', '../journal/journal.js', 'parts of one level never import each other'],
  ['src/platform/lock.ts', '../disk/vhd/footer.js', 'parts of one level never import each other'],
  ['src/compose.ts', './cli/main.js', 'parts of one level never import each other'],
  ['src/index.ts', '../workers/chunk-worker.js', 'parts of one level never import each other'],
  ['src/transfer/transfer.ts', '../endpoint/local.js', 'only compose.ts names concrete parts'],
  ['src/cli/main.ts', '../endpoint/http-source.js', 'only compose.ts names concrete parts'],
  ['src/api/service.ts', '../service/store/sqlite-store.js', 'only compose.ts names concrete parts'],
  ['workers/chunk-worker.ts', '../src/endpoint/local.js', 'only compose.ts names concrete parts'],
  ['src/service/service.ts', '../journal/file-journal.js', 'only compose.ts names concrete parts'],
  ['src/cli/main.ts', '../../bench/main.js', 'has no level'],
])('%s must not import %s', (from, specifier, reason) => {
  expect(brokenRule(from, specifier)).toContain(reason);
});

test.each([
  ['src/core/chunk.ts', './errors.js'],
  ['src/endpoint/local.ts', '../platform/holes.js'],
  ['src/journal/file-journal.ts', '../platform/lock.js'],
  ['src/endpoint/registry.ts', './local.js'],
  ['src/compose.ts', './transfer/pool-runner.js'],
  ['src/cli/commands/copy.ts', '../../index.js'],
  ['workers/chunk-worker.ts', '../src/transfer/copy-chunk.js'],
  ['src/transfer/retry.ts', 'node:timers'],
])('%s may import %s', (from, specifier) => {
  expect(brokenRule(from, specifier)).toBeUndefined();
});

test('import lines of every form are read, and comments are not', () => {
  const text = [
    "import { a } from './a.js';",
    "import type { B } from './b.js';",
    'import {',
    '  type C,',
    "} from './c.js';",
    "export { d } from './d.js';",
    "export * from './e.js';",
    "import './f.js';",
    "const g = await import('./g.js');",
    "type H = import('./h.js').H;",
    "// import { no } from './no.js';",
    " * import { never } from './never.js';",
  ].join('\n');
  const found = importedSpecifiers(text).map((specifier) => specifier.replace(/\W|js/g, ''));
  expect(found.sort().join('')).toBe('abcdefgh');
});
