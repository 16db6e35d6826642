import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { argvPaths, decodePath, encodePath, showPath } from '../../../src/platform/path-bytes.js';

const run = promisify(execFile);
const built = new URL('../../../dist/src/platform/path-bytes.js', import.meta.url);

const bytesOf = (path: string): Buffer => Buffer.from(encodePath(path));

test('a name of any bytes comes back byte for byte', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    // Pieces of characters beside whole ones are where decoders disagree.
    fc
      .array(fc.constantFrom('c3', 'a9', 'e2', '82', 'ac', 'f0', '9f', '9a', '80', 'ed', 'a0', 'ff', '41'))
      .map((hex) => new Uint8Array(Buffer.from(hex.join(''), 'hex'))),
  );
  fc.assert(fc.property(bytes, (name) => bytesOf(decodePath(name)).equals(name)));
});

test('a name that is UTF-8 stays the string that it is', () => {
  for (const name of ['plain', 'zażółć', '💀 disk', '\ufeffmark', 'a\nb', '']) {
    expect(decodePath(Buffer.from(name))).toBe(name);
    expect(encodePath(name)).toBe(name);
  }
});

test('each byte that is no UTF-8 becomes the surrogate U+DC00 + byte, as in PEP 383', () => {
  expect(decodePath(Buffer.from([0x61, 0xff, 0x62]))).toBe('a\udcffb');
  // An encoded surrogate and a character cut short are invalid byte by byte.
  expect(decodePath(Buffer.from([0xed, 0xa0, 0x80]))).toBe('\udced\udca0\udc80');
  expect(decodePath(Buffer.from([0xe2, 0x82, 0x41]))).toBe('\udce2\udc82A');
  expect(encodePath('a\udcffb')).toEqual(Buffer.from([0x61, 0xff, 0x62]));
});

test('half of an emoji is not taken for an escaped byte', () => {
  // U+1F480 is the pair D83D DC80, and DC80 alone would be the byte 0x80.
  expect(encodePath('💀')).toBe('💀');
  expect(encodePath('💀\udc80')).toEqual(Buffer.from('f09f928080', 'hex'));
});

test('a file whose name is not UTF-8 is made and found under its own bytes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'blockferry-names-'));
  try {
    const name = decodePath(Buffer.from([0x64, 0xe9, 0x6a, 0xe0]));
    writeFileSync(encodePath(join(folder, name)), 'x');
    expect(readdirSync(Buffer.from(folder), { encoding: 'buffer' }).map(decodePath)).toEqual([name]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('names are shown on one line, without controls, with quotes as they are', () => {
  expect(showPath('a\nb\tc\r')).toBe('a\\nb\\tc\\r');
  expect(showPath('\x1b[31mred\x00\x7f')).toBe('\\x1b[31mred\\x00\\x7f');
  expect(showPath('d\udce9j\udcff')).toBe('d\\xe9j\\xff');
  expect(showPath('\u0085\u202egnp.exe\ud800')).toBe('\\u0085\\u202egnp.exe\\ud800');
  expect(showPath('it\'s "fine" – zażółć 💀')).toBe('it\'s "fine" – zażółć 💀');
});

test('arguments without a replacement character are given back as they are', () => {
  expect(argvPaths(['copy', 'é', ''])).toEqual(['copy', 'é', '']);
});

test('an argument that the command line does not bear out stays as it is', () => {
  expect(argvPaths(['not-an-argument-of-this-process-\ufffd'])).toEqual(['not-an-argument-of-this-process-\ufffd']);
});

const argvProgram = `
  if (process.argv.includes('retitle')) process.title = 'x';
  const { argvPaths } = await import(${JSON.stringify(built.href)});
  process.stdout.write(JSON.stringify(argvPaths(process.argv.slice(1))));
`;

/** A shell is the way to give a program bytes that are no string. */
async function argvOf(...words: string[]): Promise<string[]> {
  const quoted = words.map((word) => `"$(printf '${word}.')"`).join(' ');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's own expansion.
  const lastOff = 'for w; do shift; set -- "$@" "${w%.}"; done';
  const script = `cut() { ${lastOff}; exec "$node" --input-type=module -e "$program" -- "$@"; }; cut ${quoted}`;
  const env = { ...process.env, node: process.execPath, program: argvProgram, LC_ALL: 'C' };
  return JSON.parse((await run('sh', ['-c', script], { env })).stdout) as string[];
}

test.skipIf(process.platform !== 'linux' || !existsSync(built))(
  'a command line gives back the bytes that Node replaced, empty and emoji arguments beside them included',
  async () => {
    expect(await argvOf('copy', 'd\\351j\\340.img', '', '💀\\377', 'a\\357\\277\\275b', '')).toEqual([
      'copy',
      'd\udce9j\udce0.img',
      '',
      '💀\udcff',
      'a\ufffdb',
      '',
    ]);
  },
);

test.skipIf(process.platform !== 'linux' || !existsSync(built))(
  'a process that changed its title keeps the arguments as Node gave them',
  async () => {
    expect(await argvOf('retitle', 'a\\377')).toEqual(['retitle', 'a\ufffd']);
  },
);
