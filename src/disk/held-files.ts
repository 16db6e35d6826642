/**
 * The files of a merge, opened and locked for as long as it takes, and refused where somebody else uses them. QEMU
 * finds them locked, too: no machine can be started on them meanwhile.
 */
import { TransferError } from '../core/errors.js';
import type { FileLayer } from '../platform/file-layer.js';
import { type HeldLock, lockDescriptor } from '../platform/lock.js';
import { lockForQemu } from '../platform/qemu-lock.js';
import { OpenDiskFile } from './disk-file.js';

export class HeldFiles {
  readonly #files: FileLayer;
  readonly #held: { readonly file: OpenDiskFile; readonly lock: HeldLock }[] = [];

  constructor(files: FileLayer) {
    this.#files = files;
  }

  /** @throws TransferError E_LOCKED, and what the opening throws */
  async open(path: string, access: 'read' | 'write'): Promise<OpenDiskFile> {
    const file = OpenDiskFile.open(this.#files, path, access);
    try {
      const lock = await lockDescriptor(file.fd);
      if (lock === 'busy') throw busy(file.name);
      if (lockForQemu(file.fd, access) === 'busy') throw usedByQemu(file.name);
      this.#held.push({ file, lock });
      return file;
    } catch (thrown) {
      file.close();
      throw thrown;
    }
  }

  release(): void {
    for (const { file, lock } of this.#held.splice(0)) {
      lock.release();
      file.close();
    }
  }
}

function busy(name: string): TransferError {
  return new TransferError('E_LOCKED', `${name} is used by another process`, {
    hint: 'Wait until it is finished, or see with "blockferry disk info" what is known of it. Nothing was changed.',
  });
}

function usedByQemu(name: string): TransferError {
  return new TransferError('E_LOCKED', `${name} is used by a virtual machine, or by another program of QEMU`, {
    hint: 'Shut the machine down, or wait until that is finished. Nothing was changed.',
  });
}
