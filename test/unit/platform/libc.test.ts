import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { errnoError, libc, nativeAvailable } from '../../../src/platform/libc.js';

const built = fileURLToPath(new URL('../../../dist/src/platform/', import.meta.url));
const native = nativeAvailable();

test.skipIf(!native)('a failed call answers minus its errno, a good one its value', () => {
  const fd = openSync(process.execPath, 'r');
  onTestFinished(() => closeSync(fd));
  expect(libc()?.lseek(fd, 0, 2)).toBe(readFileSync(process.execPath).length);
  expect(libc()?.lseek(fd, 2 ** 62, 3)).toBe(-6); // ENXIO
  expect(libc()?.lseek(-1, 0, 0)).toBe(-9); // EBADF
  expect(libc()?.posix_fadvise(-1, 0, 0, 4)).toBe(-9);
  expect(libc()?.syncfs(-1)).toBe(-9);
});

test.skipIf(!native)('BLOCKFERRY_NO_NATIVE=1 switches every native call off', () => {
  vi.stubEnv('BLOCKFERRY_NO_NATIVE', '1');
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(nativeAvailable()).toBe(false);
  vi.unstubAllEnvs();
  expect(nativeAvailable()).toBe(true);
});

test('an errno becomes the Error that Node would throw', () => {
  const error = errnoError('lseek', -6, '/dev/x');
  expect(error).toMatchObject({ code: 'ENXIO', errno: -6, syscall: 'lseek', path: '/dev/x' });
  expect(error.message).toBe('ENXIO: no such device or address, lseek');
  expect(errnoError('open', -15).code).toBe('errno 15');
});

test.skipIf(!native || !existsSync(built))('koffi is loaded at the first need, not at the start', () => {
  const program = `
    import { readFileSync } from 'node:fs';
    const modules = ['holes', 'lock', 'publish', 'direct-io', 'file-system', 'path-bytes', 'libc'];
    const loaded = () => readFileSync('/proc/self/maps', 'utf8').includes('koffi');
    const all = await Promise.all(modules.map((name) => import(${JSON.stringify(built)} + name + '.js')));
    const before = loaded();
    all[6].libc();
    process.stdout.write(JSON.stringify([before, loaded()]));
  `;
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(JSON.parse(said)).toEqual([false, true]);
});

test.skipIf(!native || !existsSync(built))(
  'several threads of a process call it at once, each with its own errno',
  async () => {
    const program = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(${JSON.stringify(`${built}libc.js`)}).then(({ libc }) => {
      const wrong = Array.from({ length: 20000 }, () => libc().lseek(workerData.fd, 0, workerData.whence));
      parentPort.postMessage([...new Set(wrong)]);
    });
  `;
    const fd = openSync(process.execPath, 'r');
    onTestFinished(() => closeSync(fd));
    const cases = [
      { fd: -1, whence: 0, answer: -9 },
      { fd, whence: 99, answer: -22 },
      { fd, whence: 0, answer: 0 },
    ];
    const said = cases.map(
      async (workerData) => (await once(new Worker(program, { eval: true, workerData }), 'message'))[0],
    );
    expect(await Promise.all(said)).toEqual(cases.map(({ answer }) => [answer]));
  },
);
