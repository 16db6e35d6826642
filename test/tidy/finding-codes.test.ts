/** The codes that a check of an image can find, and the list of them in docs/disks.md, are the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot, sourceFiles } from './source-files.js';

const CODE = /^(?:(?:vhd|vhdx|qcow2|raw|chain)-[a-z0-9-]+|unreadable|unsupported)$/;
/** Words of the same form: layouts, and beginnings that a template ends. */
const NO_CODES = ['vhd-fixed', 'vhd-dynamic', 'qcow2-l2', 'qcow2-refcount-block'];

const disk = sourceFiles('src').filter(({ path }) => path.startsWith('src/disk/'));
const text = disk.map((file) => file.text.replace(/^\s*(\/?\*|\/\/).*$/gm, '')).join('\n');
const written = [...text.matchAll(/'([a-z0-9-]+)'/g)].map((match) => match[1] ?? '');
const literal = new Set(written.filter((word) => CODE.test(word) && !NO_CODES.includes(word)));
/** Such as `vhd-footer-${kind}`. */
const templates = [...text.matchAll(/`([a-z0-9-]*)\$\{(?:kind|code)\}([a-z0-9-]*)`/g)]
  .filter(([, before = '', after = '']) => before.includes('-') || after.includes('-'))
  .map(([, before = '', after = '']) => new RegExp(`^${before}[a-z0-9-]+${after}$`));

const page = readFileSync(join(projectRoot, 'docs/disks.md'), 'utf8');
const listed = [...page.matchAll(/^\| `([a-z0-9-]+)` +\|/gm)].map((match) => match[1] ?? '');

test('every code that a check can find is in the list', () => {
  expect(literal.size).toBeGreaterThan(40);
  expect([...literal].filter((code) => !listed.includes(code))).toEqual([]);
});

test('the list has no code that no check finds, and none twice', () => {
  const made = (code: string): boolean => literal.has(code) || templates.some((template) => template.test(code));
  expect(templates.length).toBeGreaterThan(0);
  expect(listed.filter((code) => !made(code))).toEqual([]);
  expect(new Set(listed).size).toBe(listed.length);
});
