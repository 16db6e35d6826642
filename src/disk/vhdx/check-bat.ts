/** Looks at every entry of a BAT: its state, its place, and whether anything else lies there ([MS-VHDX] 2.5.1). */
import { MiB } from '../../core/units.js';
import type { Finding, Findings } from '../image.js';
import { BAT_ENTRY_BYTES, type Bat, type BatWindow, BITMAP_BYTES, STATES } from './bat.js';
import type { FileSpace } from './file-space.js';

const FINDINGS_MAX = 1000;

interface CheckedBat {
  readonly bat: Bat;
  readonly batAt: number;
  readonly fileBytes: number;
  readonly leaveAllocated: boolean;
}

export async function checkBat(checked: CheckedBat, space: FileSpace, found: Findings): Promise<void> {
  const { entries, chunkRatio, blocks } = checked.bat.geometry;
  const one = new EntryCheck(checked, space, found);
  let partial = false;
  let missing = 0;
  for (let entry = 0; entry < entries; ) {
    const window = await checked.bat.window(entry);
    for (; entry < window.end; entry++) {
      const chunk = Math.floor(entry / (chunkRatio + 1));
      const block = entry - chunk;
      if (entry % (chunkRatio + 1) === chunkRatio) {
        one.bitmap(window, entry, chunk, partial);
        partial = false;
      } else if (block < blocks) {
        const state = one.block(window, entry, block);
        if (state === STATES.partiallyPresent) partial = true;
        if (state === STATES.notPresent) missing++;
      }
    }
  }
  if (checked.leaveAllocated && missing > 0) {
    const message = `${missing} blocks of a fixed disk are not allocated: they read as zero here`;
    found.add({ code: 'vhdx-fixed-unallocated', severity: 'doubtful', message, offset: checked.batAt });
  }
}

class EntryCheck {
  readonly #checked: CheckedBat;
  readonly #space: FileSpace;
  readonly #found: Findings;
  #count = 0;

  constructor(checked: CheckedBat, space: FileSpace, found: Findings) {
    this.#checked = checked;
    this.#space = space;
    this.#found = found;
  }

  /** The state of the block. */
  block(window: BatWindow, entry: number, block: number): number {
    const { differencing, blockBytes, size } = this.#checked.bat.geometry;
    const state = window.state(entry);
    const what = `block ${block}`;
    const present = state === STATES.fullyPresent || state === STATES.partiallyPresent;
    if (state > STATES.unmapped && state !== STATES.fullyPresent && !(differencing && present)) {
      this.#add('vhdx-bat-state', 'wrong', entry, `${what}: expected a state of such a disk, found ${state}`);
    }
    this.#reserved(window, entry, what);
    // Only what a guest can see must be in the file: the last block may be longer than the disk.
    const seen = Math.min(blockBytes, size - block * blockBytes);
    if (present) this.#place(window.place(entry), { what, entry, length: blockBytes, seen });
    return state;
  }

  bitmap(window: BatWindow, entry: number, chunk: number, needed: boolean): void {
    const state = window.state(entry);
    const what = `sector bitmap ${chunk}`;
    const { differencing } = this.#checked.bat.geometry;
    const present = state === STATES.fullyPresent;
    if ((!present && state !== STATES.notPresent) || (present && !differencing)) {
      this.#add('vhdx-bat-state', 'wrong', entry, `${what}: expected a state of such a disk, found ${state}`);
    }
    if (needed && !present) {
      const message = `${what}: expected to be present for a block that is partially present, found state ${state}`;
      this.#add('vhdx-bitmap-missing', 'wrong', entry, message);
    }
    this.#reserved(window, entry, what);
    if (present) this.#place(window.place(entry), { what, entry, length: BITMAP_BYTES, seen: BITMAP_BYTES });
  }

  #reserved(window: BatWindow, entry: number, what: string): void {
    const bits = window.reserved(entry);
    if (bits === 0) return;
    this.#add('vhdx-bat-reserved', 'doubtful', entry, `${what}: expected reserved bits of zero, found ${bits}`);
  }

  #place(
    at: number,
    { what, entry, length, seen }: { what: string; entry: number; length: number; seen: number },
  ): void {
    const { fileBytes } = this.#checked;
    if (at > fileBytes - seen) {
      const message = `${what}: expected a place inside the file of ${fileBytes} bytes, found byte ${at}`;
      this.#add('vhdx-bat-past-end', 'wrong', entry, message);
    } else if (at < MiB || !this.#space.take(at, length)) {
      const message = `${what}: expected space of its own, found another structure at byte ${at}`;
      this.#add('vhdx-blocks-overlap', 'wrong', entry, message);
    }
  }

  /** Millions of entries may be wrong, and a thousand sentences say that as well. */
  #add(code: string, severity: Finding['severity'], entry: number, message: string): void {
    if (this.#count++ >= FINDINGS_MAX) return;
    this.#found.add({ code, severity, message, offset: this.#checked.batAt + entry * BAT_ENTRY_BYTES });
  }
}
