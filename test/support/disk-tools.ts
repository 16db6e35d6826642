/** The tools of other programs that read and write disk images, and a reason to skip where one is missing. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'vitest';

/** Runs a tool and returns what it printed. @throws Error with what it said when it failed */
export function runTool(command: string, args: readonly string[], input?: string): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, ...(input && { input }) });
  if (done.status === 0) return done.stdout;
  throw new Error(`${command} ${args.join(' ')}: ${done.error?.message ?? `${done.stdout}${done.stderr}`}`);
}

/** Skips the test, and says why, where the tool is missing. */
export function needTool(context: TestContext, command: string, args: readonly string[] = ['--version']): void {
  const { status } = spawnSync(command, args, { stdio: 'ignore' });
  if (status !== 0) context.skip(`${command} is not installed`);
}

export const need7zz = (context: TestContext): void => needTool(context, '7zz', ['i']);
export const needQemuImg = (context: TestContext): void => needTool(context, 'qemu-img');
export const needVhdiinfo = (context: TestContext): void => needTool(context, 'vhdiinfo', ['-V']);

/** The raw disk that 7zz makes of an image, and of its parents. `into`: a folder that is not there yet. */
export function extractWith7zz(path: string, into: string): Buffer {
  runTool('7zz', ['x', '-tvhdx', `-o${into}`, path, '-y']);
  const [name, more] = readdirSync(into);
  if (name === undefined || more !== undefined) throw new Error(`7zz made ${readdirSync(into).length} files`);
  return readFileSync(join(into, name));
}

/** The raw disk that qemu-img makes of an image. */
export function convertWithQemu(path: string, into: string): Buffer {
  runTool('qemu-img', ['convert', '-f', 'vhdx', '-O', 'raw', path, into]);
  return readFileSync(into);
}
