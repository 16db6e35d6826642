import { createHash } from 'node:crypto';
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { MiB, TiB } from '../../src/core/units.js';
import { type VerifyResult, verify, verifyTree } from '../../src/index.js';
import { bytesOf, CHUNK, copyNow, failureOf, leftIn, pairIn, patch, scratchFolder } from '../support/copying.js';
import { fileHandler, serveHandlers } from '../support/http-scenarios.js';
import { blockferry, MAIN, start, workFolder } from './command.js';

/** Flips one bit. */
function flip(path: string, at: number): void {
  const byte = readFileSync(path).subarray(at, at + 1);
  patch(path, at, Buffer.of((byte[0] as number) ^ 1));
}

function linesOf(manifest: string): string[] {
  return readFileSync(manifest, 'utf8').trimEnd().split('\n');
}

test('a copy with --manifest is verified by it alone, also under another name and in another place', async () => {
  const { folder } = await workFolder(20 * MiB + 3);
  const copied = await blockferry(folder, 'copy', 'disk.img', 'copy.img', '--manifest', 'm.ndjson').ended;
  expect(copied).toMatchObject({ exitCode: 0, err: '' });
  expect(copied.out).toContain(`manifest: ${join(folder, 'm.ndjson')}`);
  rmSync(join(folder, 'disk.img'));
  mkdirSync(join(folder, 'elsewhere'));
  renameSync(join(folder, 'copy.img'), join(folder, 'elsewhere', 'moved.img'));
  const same = await blockferry(folder, 'verify', 'elsewhere/moved.img', '--manifest', 'm.ndjson').ended;
  expect(same).toMatchObject({ exitCode: 0, err: '' });
  const root = /root: \S+/.exec(copied.out)?.[0];
  expect(same.out).toContain(root);
  expect(same.out).toContain('is what m.ndjson says: 20.0 MiB');
  const quiet = await blockferry(folder, 'verify', '--quiet', 'elsewhere/moved.img', '--manifest=m.ndjson').ended;
  expect(quiet).toEqual({ exitCode: 0, out: '', err: '' });
});

test('a flipped bit is found in exactly its chunk', async () => {
  const pair = pairIn(scratchFolder(), 40 * CHUNK + 77);
  const manifest = join(pair.folder, 'm');
  const { root } = await copyNow({ ...pair, manifest });
  flip(pair.target, 17 * CHUNK + 5);
  flip(pair.target, 40 * CHUNK + 76);
  const found = await verify({ target: pair.target, manifest }).result;
  expect(found).toMatchObject({
    same: false,
    bytesDiffering: CHUNK + 77,
    differing: [
      { offset: 17 * CHUNK, length: CHUNK },
      { offset: 40 * CHUNK, length: 77 },
    ],
  });
  expect(found.root).not.toBe(root);
  const said = await blockferry(pair.folder, 'verify', 'target.img', '--manifest', 'm').ended;
  expect(said.exitCode).toBe(4);
  expect(said.out).toContain('2 ranges of whole chunks');
  const asJson = await blockferry(pair.folder, 'verify', '--json', 'target.img', '--manifest', 'm').ended;
  expect(asJson.exitCode).toBe(4);
  expect(JSON.parse(asJson.out)).toMatchObject({
    schema: 1,
    type: 'verify',
    differing: found.differing,
    proof: 'written',
  });
});

test('a target of another size is told with its size, and what it holds is compared all the same', async () => {
  const pair = pairIn(scratchFolder(), 10 * CHUNK);
  const manifest = join(pair.folder, 'm');
  await copyNow({ ...pair, manifest });
  truncateSync(pair.target, 7 * CHUNK + 9);
  flip(pair.target, 2 * CHUNK);
  const shorter: VerifyResult = await verify({ target: pair.target, manifest }).result;
  expect(shorter).toMatchObject({ one: { size: 7 * CHUNK + 9 }, other: { size: 10 * CHUNK } });
  expect(shorter.differing).toEqual([
    { offset: 2 * CHUNK, length: CHUNK },
    { offset: 7 * CHUNK, length: 3 * CHUNK },
  ]);
  const longer = await copyNow({ source: pair.source, target: `${pair.target}2` });
  writeFileSync(longer.target, 'more', { flag: 'a' });
  const { differing } = await verify({ target: longer.target, manifest }).result;
  expect(differing).toEqual([{ offset: 10 * CHUNK, length: 4 }]);
});

test('the digests of --algorithm sha256 are those that any other program computes', async () => {
  const { folder, content } = await workFolder(5 * MiB + 11);
  const options = ['--algorithm', 'sha256', '--chunk-size', '1MiB', '--read-back', '--manifest', 'm'];
  expect((await blockferry(folder, 'copy', ...options, 'disk.img', 'copy.img').ended).exitCode).toBe(0);
  const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
  const digests = Array.from({ length: 6 }, (_, at) => sha256(content.subarray(at * MiB, (at + 1) * MiB)));
  const [, file, chunks] = linesOf(join(folder, 'm')).map((line) => JSON.parse(line));
  const about = Buffer.from(`sha256\n${MiB}\n${content.length}\n`);
  expect(file).toMatchObject({ path: 'copy.img', algorithm: 'sha256', size: content.length, chunkBytes: MiB });
  expect(file.root).toBe(sha256(Buffer.concat([about, ...digests])).toString('hex'));
  expect(chunks).toEqual({ chunk: 0, digests: Buffer.concat(digests).toString('hex') });
});

test('a copy to null: makes the manifest of a file that is there, and a whole target says so', async () => {
  const { folder } = await workFolder(3 * MiB);
  const refused = await blockferry(folder, 'copy', '--manifest', 'm', 'disk.img', 'disk.img/../disk.img').ended;
  expect(refused.exitCode).toBe(2);
  writeFileSync(join(folder, 'copy.img'), 'there');
  const exists = await blockferry(folder, 'copy', '--manifest', 'm', 'disk.img', 'copy.img').ended;
  expect(exists.exitCode).toBe(2);
  expect(exists.err).toContain('null:');
  expect((await blockferry(folder, 'copy', '--manifest', 'm', 'disk.img', 'null:').ended).exitCode).toBe(0);
  expect((await blockferry(folder, 'verify', 'disk.img', '--manifest', 'm').ended).exitCode).toBe(0);
  expect(leftIn(folder)).toEqual([]);
});

test('a manifest never takes the place of source, target or another file, and nothing is left of it', async () => {
  const pair = pairIn(scratchFolder(), MiB);
  const file = join(pair.folder, 'precious');
  writeFileSync(file, 'precious');
  for (const manifest of [pair.source, pair.target, '']) {
    expect(await failureOf(() => copyNow({ ...pair, manifest }))).toMatchObject({ code: 'E_USAGE' });
  }
  expect(await failureOf(copyNow({ ...pair, manifest: file }))).toMatchObject({ code: 'E_TARGET_EXISTS' });
  const nowhere = join(pair.folder, 'no', 'folder');
  expect(await failureOf(copyNow({ ...pair, manifest: nowhere }))).toMatchObject({ code: 'E_TARGET_ACCESS' });
  const missing = { ...pair, source: `${pair.source}.gone`, manifest: join(pair.folder, 'm') };
  expect(await failureOf(copyNow(missing))).toMatchObject({ code: 'E_SOURCE_MISSING' });
  expect(readFileSync(file, 'utf8')).toBe('precious');
  expect(leftIn(pair.folder)).toEqual([]);
});

test('a manifest that is cut off or damaged is told before anything is compared', async () => {
  const pair = pairIn(scratchFolder(), 20 * CHUNK);
  const manifest = join(pair.folder, 'm');
  await copyNow({ ...pair, manifest });
  const text = readFileSync(manifest, 'utf8');
  rmSync(pair.target);
  for (const damage of [text.slice(0, -1), text.slice(0, text.lastIndexOf('{')), text.replace(/[0-9]"\}\n/, 'f"}\n')]) {
    writeFileSync(manifest, damage);
    const said = await blockferry(pair.folder, 'verify', 'target.img', '--manifest', 'm').ended;
    expect(said).toMatchObject({ exitCode: 4, out: '' });
    expect(said.err).toMatch(/cut off|cannot be trusted/);
  }
});

test('a manifest whose root is not that of its digests is refused, though its last line fits', async () => {
  const pair = pairIn(scratchFolder(), 3 * CHUNK);
  const manifest = join(pair.folder, 'm');
  await copyNow({ ...pair, manifest });
  const body = linesOf(manifest)
    .slice(0, -1)
    .map((line) => `${line.replace(/"root":"\w+"/, '"root":"0123456789abcdef"')}\n`)
    .join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  writeFileSync(manifest, `${body}${JSON.stringify({ files: 1, bytes: 3 * CHUNK, sha256 })}\n`);
  expect(await failureOf(verify({ target: pair.target, manifest }).result)).toMatchObject({ code: 'E_MANIFEST' });
  expect(await failureOf(verifyTree({ target: pair.folder, manifest }).result)).toMatchObject({ code: 'E_MANIFEST' });
});

test('a short manifest that speaks of millions of chunks takes no memory', async () => {
  const folder = scratchFolder();
  const [target, manifest] = [join(folder, 'a'), join(folder, 'm')];
  writeFileSync(target, 'a');
  const [count, digest] = [4_194_304, '0'.repeat(64)];
  const size = count * 65536;
  const file = { path: 'a', size, chunkBytes: 65536, algorithm: 'sha256', proof: 'written', root: digest };
  const lines = [{ format: 'blockferry-manifest', version: 1 }, file, { chunk: 0, count, digest }];
  const body = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  const sha256 = createHash('sha256').update(body).digest('hex');
  writeFileSync(manifest, `${body}${JSON.stringify({ files: 1, bytes: size, sha256 })}\n`);
  const told = `process.on('exit', () => console.log(process.resourceUsage().maxRSS))`;
  const program = [process.execPath, '--import', `data:text/javascript,${told}`, MAIN];
  const small = await start(folder, [...program, '--version']).ended;
  const { out, exitCode, err } = await start(folder, [...program, 'verify', '--manifest', manifest, target]).ended;
  expect(exitCode, err).toBe(4);
  expect(err).toContain('cannot be trusted');
  const [used, least] = [out, small.out].map((text) => Number(text.trim().split('\n').at(-1)) / 1024);
  // The digests alone are 128 MiB.
  expect(used, `${used} MiB, at least ${least}`).toBeLessThan((least ?? 0) + 100);
}, 30_000);

test('a sparse disk of 5 TiB has a small manifest and is verified in seconds', async (context) => {
  const folder = scratchFolder();
  const source = join(folder, 'disk.vhd');
  const fd = openSync(source, 'w');
  const size = 5 * TiB;
  let refused: unknown;
  try {
    ftruncateSync(fd, size);
    writeSync(fd, bytesOf(MiB, 'middle'), 0, MiB, 3 * TiB + 512);
    writeSync(fd, 'the end', size - 7);
  } catch (thrown) {
    refused = thrown;
  } finally {
    closeSync(fd);
  }
  context.skip(refused !== undefined, 'this file system has no files of 5 TiB');
  const manifest = join(folder, 'm');
  const { target } = await copyNow({ source, target: join(folder, 'copy.vhd'), chunkBytes: 8 * MiB, manifest });
  expect(statSync(manifest).size).toBeLessThan(1000);
  expect(await verify({ target, manifest }).result).toMatchObject({ same: true, bytesDiffering: 0 });
  patch(target, 4 * TiB, Buffer.from('x'));
  const { differing } = await verify({ target, manifest }).result;
  expect(differing).toEqual([{ offset: 4 * TiB, length: 8 * MiB }]);
  const tree = await verifyTree({ target: folder, manifest }).result;
  expect(tree).toMatchObject({ filesDifferent: 1, problems: [{ path: 'copy.vhd', differing }], filesExtra: 1 });
});

test('what a server gives is verified by the manifest of what was put there', async () => {
  const pair = pairIn(scratchFolder(), 9 * CHUNK + 3);
  const manifest = join(pair.folder, 'm');
  await copyNow({ ...pair, manifest });
  const content = readFileSync(pair.source);
  const server = await serveHandlers(fileHandler(content));
  onTestFinished(() => server.stop());
  const target = `${server.url}/disk.vhd`;
  expect(await verify({ target, manifest }).result).toMatchObject({ same: true });
  content.writeUInt8((content[5 * CHUNK] as number) ^ 1, 5 * CHUNK);
  const { differing } = await verify({ target, manifest }).result;
  expect(differing).toEqual([{ offset: 5 * CHUNK, length: CHUNK }]);
});
