/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out, as it does when its registry
 * holds only some platforms: `npm ci` refuses a lock without them, although it would not install them.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];
const processors = ['arm64', 'arm', 'ia32', 'loong64', 'mips64el', 'ppc64', 'riscv64', 's390x', 'wasm32', 'x64'];

const added = {};
for (const [path, entry] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    if (!isLocked(path, name)) added[`node_modules/${name}`] = platformEntry(name, version, entry.dev === true);
  }
}
const byPath = ([a], [b]) => a.localeCompare(b, 'en');
lock.packages = Object.fromEntries(Object.entries({ ...lock.packages, ...added }).sort(byPath));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${Object.keys(added).length} packages of other platforms added`);

function isLocked(path, name) {
  return `node_modules/${name}` in lock.packages || `${path}/node_modules/${name}` in lock.packages;
}

/** The system and the processor are parts of such a name; without them npm would try to install the package here. */
function platformEntry(name, version, dev) {
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name}: "${version}" is no exact version.`);
  const words = name.split('/').at(-1).split(/[-_]/);
  const os = systems.filter((system) => words.includes(system));
  const cpu = processors.filter((processor) => words.some((word) => word === processor || isArm(word, processor)));
  if (os.length !== 1 && cpu.length !== 1) throw new Error(`${name}: its name does not say its platform.`);
  const libc = words.includes('musl') || words.includes('musleabihf') ? ['musl'] : undefined;
  return { version, cpu: some(cpu), ...(dev ? { dev } : {}), libc, optional: true, os: some(os) };
}

function isArm(word, processor) {
  return processor === 'arm' && /^(armhf|armv7)$/.test(word);
}

function some(list) {
  return list.length > 0 ? list : undefined;
}
