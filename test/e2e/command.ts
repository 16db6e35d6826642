/** The built command in a process of its own, and a folder with a file to copy. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';
import type { TransferEvent } from '../../src/index.js';

export const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));

export interface Ended {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Command {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Resolves with the first event that suits, of a command with --json. */
  event(suits: (event: TransferEvent) => boolean): Promise<TransferEvent>;
  readonly ended: Promise<Ended>;
}

/** A new folder with `disk.img` in it. */
export async function workFolder(bytes: number): Promise<{ folder: string; content: Buffer }> {
  const folder = await mkdtemp(join(tmpdir(), 'blockferry-cli-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const content = randomBytes(bytes);
  await writeFile(join(folder, 'disk.img'), content);
  return { folder, content };
}

export function start(folder: string, program: readonly string[]): Command {
  const [file, ...args] = program;
  const child = spawn(file as string, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  let [out, err] = ['', ''];
  const looks = new Set<() => void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    for (const look of looks) look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = once(child, 'close').then(([exitCode]): Ended => ({ exitCode, out, err }));
  const event = async (suits: (event: TransferEvent) => boolean): Promise<TransferEvent> => {
    const seen = new Promise<TransferEvent>((resolve) => {
      const look = (): void => {
        const found = eventsOf(out).find(suits);
        if (found) resolve(found);
      };
      looks.add(look);
      look();
    });
    const tooLate = ended.then(({ exitCode }) => {
      throw new Error(`the command ended first, with ${exitCode}:\n${out}${err}`);
    });
    return Promise.race([seen, tooLate]);
  };
  return { child, event, ended };
}

export function blockferry(folder: string, ...args: readonly string[]): Command {
  return start(folder, [process.execPath, MAIN, ...args]);
}

/** Every whole line, each of which must be JSON. */
export function eventsOf(out: string): TransferEvent[] {
  return out
    .slice(0, out.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as TransferEvent);
}
