/**
 * Which files are taken for parents, and which never are. The images here are of a made-up format, a line of JSON, so
 * that each of them can say anything; real chains are opened in the tests of their formats.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Location, Source } from '../../../src/core/endpoint.js';
import { TransferError } from '../../../src/core/errors.js';
import type { DiskBytes, DiskImage, ParentLink } from '../../../src/disk/image.js';
import { CHAIN_LINKS_MAX, type ChainRequest, openChain } from '../../../src/disk/open-chain.js';
import { localScheme } from '../../../src/endpoint/local.js';
import { parseLocation } from '../../../src/endpoint/location.js';
import { MemoryStore } from '../../../src/endpoint/memory.js';
import { realFiles } from '../../../src/platform/file-layer.js';

interface Said {
  readonly format: 'raw' | 'vhd' | 'qcow2';
  readonly identity?: string;
  readonly parent?: ParentLink;
}

vi.mock('../../../src/disk/formats.js', () => {
  const said = async (bytes: DiskBytes): Promise<Said> => {
    const text = (await bytes.read({ offset: 0, length: bytes.size }, 'text')).toString();
    return text.startsWith('{') ? JSON.parse(text) : { format: 'raw' };
  };
  const openImage = async (bytes: DiskBytes): Promise<DiskImage> => {
    const { format, ...links } = await said(bytes);
    const all = { kind: links.parent ? 'differencing' : 'dynamic', size: 4096, blockBytes: 512 };
    return { ref: { format }, format, ...all, ...links, runs: () => [], allocation: () => [] };
  };
  return { openImage, probeFormat: async (bytes: DiskBytes) => (await said(bytes)).format };
});

let folder: string;
let opened: Set<Source>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chain-'));
  opened = new Set();
});
afterEach(() => {
  // Whatever became of the chain, nothing of it stays open.
  expect(opened.size).toBe(0);
  rmSync(folder, { recursive: true, force: true });
});

const path = (name: string): string => join(folder, name);

function image(name: string, said: Said | string): string {
  mkdirSync(dirname(path(name)), { recursive: true });
  writeFileSync(path(name), typeof said === 'string' ? said : JSON.stringify(said));
  return path(name);
}

const relative = (...paths: string[]): ParentLink['paths'] => paths.map((each) => ({ kind: 'relative', path: each }));
const absolute = (...paths: string[]): ParentLink['paths'] => paths.map((each) => ({ kind: 'absolute', path: each }));

const local = localScheme(realFiles);
async function open(location: Location, from = local): Promise<Source> {
  const source = (await from.openSource?.(location)) as Source;
  opened.add(source);
  const { close } = source;
  source.close = async () => {
    expect(opened.delete(source), 'closed once').toBe(true);
    await close.call(source);
  };
  return source;
}

/** The names of the chain's files below the folder, child first. */
async function chainOf(child: string, more: Partial<ChainRequest> = {}): Promise<string[]> {
  const location = parseLocation(child);
  const chain = await openChain({ location, ...more }, { open, locate: parseLocation });
  await chain.close();
  return chain.links.map((link) => link.source.name.replace(`${folder}/`, ''));
}

async function refusal(child: string, more?: Partial<ChainRequest>): Promise<TransferError> {
  const thrown = await chainOf(child, more).catch((error: unknown) => error);
  if (thrown instanceof TransferError) return thrown;
  throw new Error(`expected a refusal, found ${JSON.stringify(thrown)}`);
}

test('a chain is opened from its child to its base, each parent by its relative path', async () => {
  image('base.vhd', { format: 'vhd', identity: 'b' });
  image('deep/middle.vhd', {
    format: 'vhd',
    identity: 'm',
    parent: { format: 'vhd', identity: 'b', paths: relative('../nowhere.vhd', '../base.vhd') },
  });
  const child = image('child.vhd', {
    format: 'vhd',
    identity: 'c',
    parent: { format: 'vhd', identity: 'M', paths: relative('./deep/middle.vhd') },
  });
  expect(await chainOf(child)).toEqual(['child.vhd', 'deep/middle.vhd', 'base.vhd']);
});

test('a file that only has the name of the parent is passed over, and the next place is tried', async () => {
  image('base.vhd', { format: 'vhd', identity: 'other' });
  image('far/base.vhd', { format: 'vhd', identity: 'b' });
  const parent = { identity: 'b', paths: [...relative('base.vhd'), ...absolute(path('far/base.vhd'))] };
  const child = image('child.vhd', { format: 'vhd', parent });
  expect(await chainOf(child)).toEqual(['child.vhd', 'far/base.vhd']);
});

test('where no place has the parent, the error says what was expected, what was found, and where', async () => {
  image('base.vhd', { format: 'vhd', identity: 'other' });
  const paths = relative('base.vhd', 'gone.vhd');
  const child = image('child.vhd', { format: 'vhd', parent: { format: 'vhd', identity: 'b', paths } });
  const error = await refusal(child);
  expect(error).toMatchObject({ code: 'E_DISK_PARENT', exitCode: 4 });
  expect(error.message).toBe(
    `${child} builds on base.vhd, known by b, of format vhd, which was not found: looked for at ` +
      `${path('base.vhd')}: another disk, known by other; ${path('gone.vhd')}: not there, or not to be read`,
  );
  expect(error.hint).toContain('--parents');
});

test('a parent is also found by its name in the folders that were named for that', async () => {
  image('store/base.vhd', { format: 'vhd', identity: 'b' });
  image('store/raw.img', 'a raw disk');
  const vhd = image('vms/child.vhd', {
    format: 'vhd',
    parent: { identity: 'b', paths: absolute('C:/Hyper-V/base.vhd') },
  });
  const qcow2 = image('vms/child.qcow2', { format: 'qcow2', parent: { format: 'raw', paths: absolute('/x/raw.img') } });
  expect((await refusal(vhd)).code).toBe('E_DISK_PARENT');
  const parentFolders = [path('empty'), path('store')];
  expect(await chainOf(vhd, { parentFolders })).toEqual(['vms/child.vhd', 'store/base.vhd']);
  expect(await chainOf(qcow2, { parentFolders })).toEqual(['vms/child.qcow2', 'store/raw.img']);
});

test('a cycle is told by the names of its images', async () => {
  const parent = (name: string, identity: string): ParentLink => ({ identity, paths: relative(name) });
  image('a.vhd', { format: 'vhd', identity: 'a', parent: parent('b.vhd', 'b') });
  image('b.vhd', { format: 'vhd', identity: 'b', parent: parent('a.vhd', 'a') });
  const child = image('c.vhd', { format: 'vhd', parent: parent('a.vhd', 'a') });
  const error = await refusal(child);
  expect(error.code).toBe('E_DISK_PARENT');
  expect(error.message).toContain(`is a cycle: ${path('a.vhd')} → ${path('b.vhd')} → ${path('a.vhd')}`);
  symlinkSync('self.vhd', path('other-name.vhd'));
  const self = image('self.vhd', { format: 'vhd', identity: 's', parent: parent('other-name.vhd', 's') });
  expect((await refusal(self)).message).toContain('is a cycle');
});

test('a chain has an end, however many images there are', async () => {
  for (let n = 0; n <= CHAIN_LINKS_MAX; n++) {
    const parent = { identity: String(n + 1), paths: relative(`${n + 1}.vhd`) };
    image(`${n}.vhd`, { format: 'vhd', identity: String(n), ...(n < CHAIN_LINKS_MAX && { parent }) });
  }
  expect((await refusal(path('0.vhd'))).message).toContain('more than 64 images');
  expect(await chainOf(path('1.vhd'))).toHaveLength(CHAIN_LINKS_MAX);
});

test('an image with a parent can be refused as no whole disk, and its parents are not looked for then', async () => {
  const child = image('child.vhd', { format: 'vhd', parent: { identity: 'b', paths: relative('base.vhd') } });
  const error = await refusal(child, { parents: false });
  expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringContaining('differencing image of base.vhd') });
  expect(error.hint).toContain('--flatten');
});

test.each([
  ['an absolute path', (secret: string) => absolute(secret)],
  ['a path that climbs', () => relative('../secret.txt')],
  ['a link in its own folder', () => relative('link')],
])('an image cannot name a file outside of its folder as a parent without an identity: %s', async (_, paths) => {
  const secret = image('secret.txt', 'the words that nobody may read');
  const child = image('vms/child.qcow2', { format: 'qcow2', parent: { format: 'raw', paths: paths(secret) } });
  symlinkSync(secret, path('vms/link'));
  const error = await refusal(child);
  expect(error.code).toBe('E_DISK_PARENT');
  expect(error.message).toContain('outside of the folder of its child, which knows its parent by name only');
  expect(await chainOf(child, { parentFolders: [folder] })).toEqual(['vms/child.qcow2', 'secret.txt']);
});

test('an identity that a file outside does not have leads nowhere', async () => {
  const secret = image('secret.txt', 'the words that nobody may read');
  const child = image('vms/child.vhd', { format: 'vhd', parent: { identity: 'b', paths: absolute(secret) } });
  const error = await refusal(child);
  expect(error.message).toContain('another disk, known by no identity');
  expect(error.message).not.toContain('words');
});

test('a format that the child does not name is guessed only where it cannot be a trap', async () => {
  image('raw.img', 'a guest wrote this');
  image('base.qcow2', { format: 'qcow2' });
  const unnamed = image('unnamed.qcow2', { format: 'qcow2', parent: { paths: relative('raw.img') } });
  const error = await refusal(unnamed);
  expect(error.message).toContain('the child does not say of which format it is, and it looks like raw');
  expect(error.hint).toContain('qemu-img rebase -u -F');
  const named = image('named.qcow2', { format: 'qcow2', parent: { paths: relative('base.qcow2') } });
  expect(await chainOf(named)).toEqual(['named.qcow2', 'base.qcow2']);
  const other = image('other.qcow2', { format: 'qcow2', parent: { format: 'vhd', paths: relative('base.qcow2') } });
  expect((await refusal(other)).message).toContain('it looks like qcow2');
});

test('shares of other machines are not called because an image says so', async () => {
  const paths = absolute('//evil/share/base.vhd', '', 'a\0b');
  const child = image('child.vhd', { format: 'vhd', parent: { identity: 'b', paths } });
  expect((await refusal(child)).message).toContain('there is no place where it could be');
});

test('over http a parent is looked for below the same server alone', async () => {
  const store = new MemoryStore(folder);
  const asked: string[] = [];
  const paths = [
    ...relative('base.vhd', '../up.vhd', '//evil/x.vhd', 'http://evil/y.vhd', '..%2fz.vhd?q#h', '\ud800'),
    ...absolute('/etc/passwd', 'http://evil/w.vhd'),
  ];
  store.put('child', Buffer.from(JSON.stringify({ format: 'vhd', parent: { identity: 'b', paths } })));
  const opener = {
    locate: parseLocation,
    open: async (location: Location): Promise<Source> => {
      asked.push(location.text);
      const name = location.text.includes('child') ? 'memory:child' : 'memory:none';
      return open({ ...location, text: name }, store.scheme());
    },
  };
  const location = parseLocation('http://host/vms/child.vhd?token=secret');
  const thrown = await openChain({ location }, opener).catch((error: unknown) => error);
  expect(thrown).toMatchObject({ code: 'E_DISK_PARENT', message: expect.not.stringContaining('secret') });
  expect(asked.slice(1)).toEqual([
    'http://host/vms/base.vhd',
    'http://host/up.vhd',
    'http://host/vms/evil/x.vhd',
    'http://host/vms/http%3A/evil/y.vhd',
    'http://host/vms/..%252fz.vhd%3Fq%23h',
    'http://host/vms/%EF%BF%BD',
  ]);
});
