import { expect, test } from 'vitest';
import { type Path, Positions } from '../../../../src/service/policy/positions.js';

const text = [
  'a = 1 # [not] = "a table"',
  'b."dotted \\u0061".c = [ # comment ]',
  '  "x ] # y",',
  "  '''", // a text over lines
  'z = 1',
  "''', { in = 'line', more.deep = \"\"\"",
  'quote \\""" """ },',
  ']',
  '[ table . "sub" ]',
  'key = """',
  'a = 2"""',
  '  last = 1e3',
  '[[list]]',
  'n = 1',
  '[[list.nested]]',
  '[[list]]',
  '[list.table]',
  'n = 2',
  '[[list.nested]]',
  'n = 3',
].join('\n');

const positions = new Positions(text);

test.each<[Path, number, number, number, number]>([
  [['a'], 1, 1, 1, 5],
  [['b', 'dotted a', 'c'], 2, 1, 2, 23],
  [['b', 'dotted a', 'c', 0], 3, 3, 3, 3],
  [['b', 'dotted a', 'c', 1], 4, 3, 4, 3],
  [['b', 'dotted a', 'c', 2, 'in'], 6, 8, 6, 13],
  [['b', 'dotted a', 'c', 2, 'more', 'deep'], 6, 21, 6, 33],
  [['table', 'sub'], 9, 1, 9, 1],
  [['table', 'sub', 'key'], 10, 1, 10, 7],
  [['table', 'sub', 'last'], 12, 3, 12, 10],
  [['list', 0, 'n'], 14, 1, 14, 5],
  [['list', 0, 'nested', 0], 15, 1, 15, 1],
  [['list', 1], 16, 1, 16, 1],
  [['list', 1, 'table', 'n'], 18, 1, 18, 5],
  [['list', 1, 'nested', 0, 'n'], 20, 1, 20, 5],
])('%j stands at line %i, column %i', (path, keyLine, keyColumn, valueLine, valueColumn) => {
  expect(positions.ofKey(path)).toEqual({ line: keyLine, column: keyColumn });
  expect(positions.ofValue(path)).toEqual({ line: valueLine, column: valueColumn });
});

test('what is not there is said to stand where the nearest thing around it does', () => {
  expect(positions.ofKey(['list', 1, 'table', 'missing'])).toEqual({ line: 17, column: 1 });
  expect(positions.ofKey(['nothing'])).toEqual({ line: 1, column: 1 });
});
