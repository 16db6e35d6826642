/** What a service has of QEMU and files: once for each state folder of a process, whose callers wait for each other. */
import { createRunner } from '../compose.js';
import { systemClock } from '../core/clock.js';
import type { LocalFiles } from '../migrate/local-files.js';
import type { QemuHost } from '../migrate/qemu-host.js';

export interface QemuHere {
  readonly qemu: QemuHost;
  readonly files: LocalFiles;
  close(): Promise<void>;
}

const opened = new Map<string, Promise<QemuHere>>();

/** @param state an absolute path */
export function qemuHere(state: string): Promise<QemuHere> {
  const here = opened.get(state) ?? open(state);
  opened.set(state, here);
  return here;
}

async function open(state: string): Promise<QemuHere> {
  const [{ LocalFiles }, { QemuHost }] = await Promise.all([
    import('../migrate/local-files.js'),
    import('../migrate/qemu-host.js'),
  ]);
  const parts = { newRunner: () => createRunner(), clock: systemClock, random: Math.random };
  const files = new LocalFiles(parts);
  const qemu = new QemuHost({ ...parts, stateFolder: state });
  const close = async (): Promise<void> => {
    opened.delete(state);
    await files.close();
    await qemu.close();
  };
  return { qemu, files, close };
}
