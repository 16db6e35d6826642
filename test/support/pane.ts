/** A real terminal, made by tmux: what a command draws there, and keys that are typed into it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { onTestFinished, type TestContext, vi } from 'vitest';

const ROWS = 16;

export interface Pane {
  /** What is on the screen, with colours on demand. */
  lines(escapes?: 'escapes'): string[];
  keys(...keys: readonly string[]): void;
  resize(columns: number): void;
  cursorShown(): boolean;
  until(what: RegExp): Promise<void>;
}

/** A terminal of that width in which the command line runs; what it leaves stays on the screen. */
export function openPane(folder: string, columns: number, command: string): Pane {
  const socket = `blockferry-${randomBytes(6).toString('hex')}`;
  const tmux = (...args: readonly string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], { encoding: 'utf8', cwd: folder });
  onTestFinished(() => void tmux('kill-server'));
  tmux('new-session', '-d', '-x', String(columns), '-y', String(ROWS), `${command}; exec sleep 60`);
  const pane: Pane = {
    lines: (escapes) =>
      tmux('capture-pane', '-p', ...(escapes ? ['-e'] : []))
        .trimEnd()
        .split('\n'),
    keys: (...keys) => void tmux('send-keys', ...keys),
    resize: (to) => void tmux('resize-window', '-x', String(to), '-y', String(ROWS)),
    cursorShown: () => tmux('display', '-p', '#{cursor_flag}').trim() === '1',
    until: (what) => vi.waitFor(() => expectMatch(pane.lines().join('\n'), what), { timeout: 30_000, interval: 40 }),
  };
  return pane;
}

function expectMatch(text: string, what: RegExp): void {
  if (!what.test(text)) throw new Error(`${what} is not on the screen:\n${text}`);
}

export function needsCommands(context: TestContext, ...commands: readonly string[]): void {
  const missing = commands.filter((command) => spawnSync('which', [command]).status !== 0);
  context.skip(missing.length > 0, `needs ${missing.join(', ')}`);
}
