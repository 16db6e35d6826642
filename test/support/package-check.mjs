/**
 * Proves the package and not the project: packs it, installs the tarball in an empty folder, copies 64 MiB with
 * `npx blockferry copy`, and compiles and runs a ten-line program against the library. A missing worker shows here.
 */
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'blockferry-package-'));
const folder = join(scratch, 'empty');
/** All that a browser is served. */
const page = 'dist/src/daemon/dashboard';
const sourceBytes = 64 * 1024 * 1024;

/** What a user of the library writes. */
const program = `import { copy } from 'blockferry';

const run = copy({ source: 'a.bin', target: 'c.bin', overwrite: false });
let events = 0;
for await (const event of run) {
  if (event.type.length > 0) events += 1;
}
const result = await run.result;
if (events === 0) throw new Error('the library told nothing about its copy');
console.log(\`root \${result.root} after \${events} events\`);
`;

/** Nothing of the npm that runs this, and of its settings: a package of ours that asks for Node 22 works with 20. */
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));

/** As strict as a user may be; the types of Node come from the project, so that nothing else is installed. */
const compilerOptions = {
  target: 'ES2022',
  module: 'NodeNext',
  moduleResolution: 'NodeNext',
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: false,
  types: ['node'],
  typeRoots: [join(root, 'node_modules/@types')],
};

try {
  mkdirSync(folder);
  const packed = pack();
  install(packed.filename);
  copyWithTheCommand();
  copyWithTheLibrary();
  console.log(`Package check: ${packed.filename} (${packed.entryCount} files, ${packed.size} bytes) works`);
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

function pack() {
  const [packed] = JSON.parse(run(root, 'npm', ['pack', '--json', '--pack-destination', scratch]));
  const paths = packed.files.map((file) => file.path);
  for (const needed of [
    'LICENSE',
    'README.md',
    'dist/src/cli/main.js',
    'dist/workers/chunk-worker.js',
    `${page}/index.html`,
    `${page}/assets/daemon/dashboard/page.js`,
    'man/blockferry.1',
  ]) {
    if (!paths.includes(needed)) throw new Error(`The package lacks ${needed}: see "files" in package.json.`);
  }
  const foreign = paths.filter((path) => !isOurs(path));
  if (foreign.length > 0) {
    throw new Error(`No source belongs to these packed files: ${foreign.join(', ')}. Remove dist and build again.`);
  }
  return packed;
}

/** The compiler never deletes, so dist may hold what an older source left. The page has its modules in a folder. */
function isOurs(path) {
  const file = path.startsWith(`${page}/`) ? path.slice(page.length + 1).replace(/^assets\//, '') : undefined;
  if (file?.endsWith('.js') && file.includes('/')) return existsSync(join(root, 'src', file.replace(/js$/, 'ts')));
  if (file !== undefined) return file.startsWith('uPlot.') || existsSync(join(root, 'src/daemon/dashboard', file));
  if (!path.startsWith('dist/')) return /^(package\.json|[A-Z]+(\.md)?|man\/blockferry\.1)$/.test(path);
  return existsSync(join(root, path.replace(/^dist\//, '').replace(/(\.d\.ts|\.js)$/, '.ts')));
}

function install(tarball) {
  run(folder, 'npm', ['init', '--yes']);
  run(folder, 'npm', ['pkg', 'set', 'type=module']);
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  run(folder, 'npm', ['install', ...quiet, join(scratch, tarball)]);
}

function copyWithTheCommand() {
  writeFileSync(join(folder, 'a.bin'), randomFillSync(Buffer.allocUnsafe(sourceBytes)));
  run(folder, 'npx', ['--no', '--', 'blockferry', 'copy', 'a.bin', 'b.bin']);
  compare('b.bin', 'npx blockferry copy');
}

function copyWithTheLibrary() {
  writeFileSync(join(folder, 'program.ts'), program);
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: ['program.ts'] }));
  run(folder, process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.']);
  process.stdout.write(run(folder, process.execPath, ['program.js']));
  compare('c.bin', 'copy() of the library');
}

function compare(name, who) {
  const [expected, found] = ['a.bin', name].map((file) => readFileSync(join(folder, file)));
  if (!expected.equals(found)) throw new Error(`${who} made ${name}, ${found.length} bytes, which differs from a.bin.`);
  console.log(`Package check: ${who}: ${found.length} bytes are equal`);
}

/** Runs a program to its end and returns what it printed; anything but success is an error with all its output. */
function run(cwd, command, args) {
  const how = { cwd, env, encoding: 'utf8', timeout: 300_000, maxBuffer: 64 * 1024 * 1024 };
  const done = spawnSync(command, args, how);
  if (done.status === 0) return done.stdout;
  const cause = done.error?.message ?? `exit ${done.signal ?? done.status}`;
  throw new Error(`${[command, ...args].join(' ')}: ${cause}\n${done.stdout ?? ''}${done.stderr ?? ''}`);
}
