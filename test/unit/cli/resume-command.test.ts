import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { invocation, resumeCommand, shellQuote } from '../../../src/cli/resume-command.js';
import { decodePath, encodePath } from '../../../src/platform/path-bytes.js';

test.each([
  'plain-name_1.img',
  '',
  'two words',
  "it's",
  '$HOME `id` "x" \\ * ?',
  'line\nbreak\tand\x1b[31m',
  "both ' and \n",
  'größe 🚢',
  decodePath(Buffer.from([0x61, 0xff, 0x27, 0xfe])),
])('a shell reads %j back as it was', (word) => {
  const bytes = execFileSync('bash', ['-c', `printf %s ${shellQuote(word)}`]);
  expect(bytes).toEqual(Buffer.from(encodePath(word)));
});

test('the command to go on is the one that was typed', () => {
  const args = ['copy', '--limit', '5MiB', 'my disk', 'b'];
  expect(resumeCommand(args, ['blockferry'])).toBe("blockferry copy --limit 5MiB 'my disk' b");
});

test('the command to go on never throws away what was kept', () => {
  expect(resumeCommand(['copy', '--discard', 'a', 'b'], ['blockferry'])).toBe('blockferry copy a b');
  expect(resumeCommand(['copy', '--', '--discard', 'b'], ['blockferry'])).toBe('blockferry copy -- --discard b');
});

test('a command that holds secrets is not printed', () => {
  expect(resumeCommand(['copy', 'https://user:pw@host/x', 'b'], ['blockferry'])).toBeUndefined();
  expect(resumeCommand(['copy', 'https://host/x?signature=1', 'b'], ['blockferry'])).toBeUndefined();
  expect(resumeCommand(['copy', '--header', 'X-Key: secret', 'a', 'b'], ['blockferry'])).toBeUndefined();
  expect(resumeCommand(['copy', '--header=X-Key: secret', 'a', 'b'], ['blockferry'])).toBeUndefined();
  const files = ['copy', '--header', '@headers', '--header=@more', '--token-file', 'token', '--ca', 'ca.pem', 'a', 'b'];
  expect(resumeCommand(files, ['blockferry'])).toBe(['blockferry', ...files].join(' '));
  expect(resumeCommand(['copy', 'https://host/x', 'b@c'], ['blockferry'])).toBe('blockferry copy https://host/x b@c');
});

test('the command to go on is called as it was called', () => {
  expect(invocation('/usr/bin/blockferry', { PATH: '/bin:/usr/bin' })).toEqual(['blockferry']);
  expect(invocation('/opt/blockferry', { PATH: '/bin' })).toEqual(['/opt/blockferry']);
  expect(invocation('/x/.bin/blockferry', { PATH: '/x/.bin', npm_command: 'exec' })).toEqual(['npx', 'blockferry']);
  expect(invocation('/x/dist/src/cli/main.js', {})).toEqual(['node', '/x/dist/src/cli/main.js']);
});
