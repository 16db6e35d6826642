import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { sha256Hex } from '../../../src/core/digest.js';
import { addToken, readTokens, removeToken, tokensPath } from '../../../src/daemon/tokens.js';
import { lockDescriptor } from '../../../src/platform/lock.js';
import { writePrivately } from '../../../src/platform/private-file.js';

const folder = mkdtempSync(join(tmpdir(), 'tokens-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const entry = (name: string) => ({ name, rights: ['read'] as const, createdAt: 1 });
const names = (): string[] => readTokens(folder).map(({ name }) => name);

test('a token that is added while another process changes the list joins what that one has made of it', async () => {
  await addToken(folder, entry('leaver'));
  const fd = openSync(`${tokensPath(folder)}.lock`, constants.O_RDWR);
  const other = await lockDescriptor(fd);
  if (other === 'busy') throw new Error('nobody else should have it');
  const [adding, removing] = [addToken(folder, entry('second')), removeToken(folder, 'leaver')];
  expect(names()).toEqual(['leaver']);
  const first = { ...entry('first'), hash: sha256Hex(Buffer.from('x')) };
  writePrivately(tokensPath(folder), JSON.stringify({ tokens: [...readTokens(folder), first] }));
  other.release();
  closeSync(fd);
  await Promise.all([adding, removing]);
  expect(names().sort()).toEqual(['first', 'second']);
});
