/** What tests that start real servers share: waiting until one answers, and ending all of its processes. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { systemClock } from '../../src/core/clock.js';
import { errnoOf } from '../../src/core/errors.js';

const environment = (): NodeJS.ProcessEnv => ({ ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` });

export function commandAvailable(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`], { env: environment() }).status === 0;
}

/** Resolves when the port takes connections; a server that ended first says why in its log. */
export async function portAnswers(port: number, child: ChildProcess, log: () => string): Promise<void> {
  while (isRunning(child)) {
    const socket = connect(port, '127.0.0.1');
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
    await systemClock.sleep(10);
  }
  throw new Error(`the server ended (${child.exitCode ?? child.signalCode}): ${log()}`);
}

export function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}

/** kill -9 of a process that leads a group (`detached`), and of all that it started; waits until it is gone. */
export async function killGroup(child: ChildProcess | undefined): Promise<void> {
  if (child?.pid === undefined) return;
  const gone = isRunning(child) ? once(child, 'exit') : undefined;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (thrown) {
    if (errnoOf(thrown) !== 'ESRCH') throw thrown;
  }
  await gone;
}
