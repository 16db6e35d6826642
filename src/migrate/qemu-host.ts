/**
 * This host with QEMU, put together: its machines, who may start them, and what looks at and merges their images. The
 * threads for that stay for as long as the host does, since a guest may be standing still while they are needed.
 */
import type { Clock } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { showPath } from '../platform/path-bytes.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import { LocalHost } from './local-host.js';
import { QemuHypervisor } from './qemu/hypervisor.js';
import type { OfflineMerge } from './qemu/merge-disks.js';
import { VmRegistry } from './vm-registry.js';

export interface QemuHostParts {
  readonly stateFolder: string;
  readonly newRunner: () => Promise<ChunkRunner>;
  readonly clock: Clock;
  /** From 0 up to 1. */
  readonly random: () => number;
}

export class QemuHost {
  readonly registry: VmRegistry;
  readonly hypervisor: QemuHypervisor;
  readonly vms: LocalHost;
  readonly #parts: QemuHostParts;
  #runner: Promise<ChunkRunner> | undefined;

  constructor(parts: QemuHostParts) {
    this.#parts = parts;
    this.registry = new VmRegistry(parts.stateFolder);
    this.hypervisor = new QemuHypervisor({
      registry: this.registry,
      describeDisk: async (path, { parentFolders }) =>
        (await this.#threads()).run('describe-disk', { location: fileAt(path), parentFolders }),
      mergeOffline: (child, how) => this.#merge(child, how),
      clock: parts.clock,
    });
    this.vms = new LocalHost({
      registry: this.registry,
      hypervisor: this.hypervisor,
      checkDisk: async (path, { parentFolders }) =>
        (await this.#threads()).run('check-disk', { location: fileAt(path), parentFolders }),
    });
  }

  /** Ends its threads; machines go on. */
  async close(): Promise<void> {
    await (await this.#runner)?.close();
  }

  #threads(): Promise<ChunkRunner> {
    this.#runner ??= this.#parts.newRunner();
    return this.#runner;
  }

  /** The merged image is kept: it goes once it is written down that the machine does without it. */
  async #merge(path: string, { parentFolders, progress, signal }: OfflineMerge): Promise<void> {
    const { MergeRun } = await import('../transfer/disk/merge-job.js');
    const { clock, random } = this.#parts;
    const request = { child: fileAt(path), keep: true, breakOthers: false, parentFolders, rateBytesPerSecond: 0 };
    const run = new MergeRun(request, { runner: await this.#threads(), clock, random });
    const suspend = (): void => run.suspend();
    signal.addEventListener('abort', suspend, { once: true });
    if (signal.aborted) suspend();
    try {
      const merged = run.run();
      // What it rejects with is heard below; the events end then, too.
      merged.catch(() => undefined);
      for await (const event of run.events) {
        if (event.type === 'progress') progress(event.bytesDone, event.bytesTotal ?? event.bytesDone);
      }
      await merged;
    } finally {
      signal.removeEventListener('abort', suspend);
    }
  }
}

function fileAt(path: string): Location {
  return { scheme: 'file', text: path, name: showPath(path) };
}
