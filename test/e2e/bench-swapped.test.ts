import { chmod, chown, mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { blockferry, workFolder } from './command.js';

const NOBODY = 65534;
const NAMES = ['.copy.blockferry-part', 'copy', 'lock', 'scratch'];

test('a link in the place of the scratch folder leads the benchmark nowhere', async (context) => {
  context.skip(process.platform !== 'linux' || process.getuid?.() !== 0, 'needs root on Linux');
  const { folder } = await workFolder(1);
  const [one, place, theirs] = [join(folder, 'one'), join(folder, 'place'), join(folder, 'theirs')];
  for (const path of [one, place, theirs]) await mkdir(path);
  await chmod(folder, 0o755);
  await chown(place, NOBODY, NOBODY);
  for (const name of NAMES) await writeFile(join(theirs, name), `important ${name}`, { mode: 0o600 });
  const bench = blockferry(folder, 'bench', '--seconds', '0.05', '--size', '64MiB', 'one', 'place');
  const own = await vi.waitFor(
    async () => {
      const [name] = await readdir(place);
      expect(await readdir(join(place, name as string))).toContain('scratch');
      return join(place, name as string);
    },
    { timeout: 30_000, interval: 5 },
  );
  process.seteuid?.(NOBODY);
  try {
    await rename(own, join(place, 'moved'));
    await symlink(theirs, own);
  } finally {
    process.seteuid?.(0);
  }
  expect(bench.child.exitCode).toBe(null);
  const { exitCode, err } = await bench.ended;
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: expect.stringMatching(/^measuring: .*\n$/) });
  expect((await readdir(theirs)).sort()).toEqual(NAMES);
  for (const name of NAMES) expect(await readFile(join(theirs, name), 'utf8')).toBe(`important ${name}`);
  expect(await readdir(join(place, 'moved'))).toEqual([]);
  expect(await readdir(one)).toEqual([]);
});
