/** A share of a Samba server as a folder: what a kernel's cifs does elsewhere, rclone does here over FUSE. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/core/clock.js';
import { mountsAvailable } from './mounts.js';
import { type Samba, sambaAvailable } from './samba.js';
import { commandAvailable, isRunning, killGroup } from './servers.js';

export interface ShareMount {
  readonly folder: string;
  /** The process that serves the mount: stopped, nothing of the mount answers. */
  freeze(): void;
  thaw(): void;
  /** Takes the mount away, waiting until all is uploaded; it can be mounted again. */
  unmount(): Promise<void>;
  mount(): Promise<void>;
  /** Takes it away whatever it does, and removes its scratch folder; harmless when called twice. */
  stop(): Promise<void>;
}

/** Why no share can be mounted here; '': it can. */
export function whyNoShare(): string {
  const lacking = ['smbd', 'rclone', 'fusermount3'].filter((name) => !commandAvailable(name));
  if (!sambaAvailable() || lacking.length > 0) return `needs ${lacking.join(', ')}`;
  return mountsAvailable() ? '' : 'needs FUSE in a private mount namespace';
}

/** Files are cached as they are written, since rclone writes nothing but whole files to SMB. */
export async function mountShare(samba: Pick<Samba, 'port'>): Promise<ShareMount> {
  const scratch = mkdtempSync(join(tmpdir(), 'share-'));
  const folder = join(scratch, 'mount');
  const log = join(scratch, 'log');
  mkdirSync(folder);
  let child: ChildProcess | undefined;
  const mount = async (): Promise<void> => {
    const remote = `:smb,host=127.0.0.1,port=${samba.port},user=guest:share`;
    const cache = ['--vfs-cache-mode', 'full', '--vfs-write-back', '0s', '--cache-dir', join(scratch, 'cache')];
    const fresh = ['--dir-cache-time', '1s', '--attr-timeout', '1s', '--vfs-cache-poll-interval', '10s'];
    const args = ['mount', remote, folder, '--config', '/dev/null', '--log-file', log, ...cache, ...fresh];
    child = spawn('rclone', args, { detached: true, stdio: 'ignore' });
    await once(child, 'spawn');
    const outer = statSync(scratch).dev;
    while (statSync(folder).dev === outer) {
      if (!isRunning(child)) throw new Error(`rclone ended: ${readFileSync(log, 'utf8')}`);
      await systemClock.sleep(20);
    }
  };
  const detach = async (): Promise<void> => {
    await killGroup(child);
    child = undefined;
    // A mount whose server is dead answers every look with an error, and is taken away all the same.
    execFileSync('umount', ['-l', folder], { stdio: 'ignore' });
  };
  const unmount = async (): Promise<void> => {
    if (!child) return;
    const ended = once(child, 'exit');
    execFileSync('fusermount3', ['-u', folder]);
    await ended;
    child = undefined;
  };
  const onExit = (): void => void (child && detach());
  process.once('exit', onExit);
  const stop = async (): Promise<void> => {
    process.off('exit', onExit);
    if (child) await detach();
    rmSync(scratch, { recursive: true, force: true });
  };
  const signal = (name: NodeJS.Signals) => () => void (child?.pid && process.kill(-child.pid, name));
  try {
    await mount();
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { folder, freeze: signal('SIGSTOP'), thaw: signal('SIGCONT'), unmount, mount, stop };
}
