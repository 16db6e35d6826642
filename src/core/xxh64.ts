/**
 * xxh64 (Yann Collet, the xxHash specification, section "XXH64 algorithm") of blocks that lie in the hash's own memory
 * already. The package copies each block to where its WebAssembly can see it; a block that is read straight to there
 * is spared that copy, and its core's cache holds it once and not twice.
 */
import xxhash from 'xxhash-wasm';
import { KiB, MiB } from './units.js';

/** What the package's WebAssembly exports; it keeps that to itself, so it is taken while it is made. */
interface Machine {
  readonly mem: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  init64(state: number, seed: bigint): void;
  update64(state: number, at: number, bytes: number): void;
  digest64(state: number): bigint;
}

type Instantiate = (...given: unknown[]) => Promise<{ readonly instance?: { readonly exports: Partial<Machine> } }>;

/** One hash, of whatever it is given in order. */
export interface Xxh64 {
  update(block: Uint8Array): void;
  digest(): bigint;
}

const STATE_BYTES = 88;
/** Blocks from elsewhere are brought here in pieces. */
const SCRATCH = { at: 4 * KiB, bytes: 256 * KiB } as const;
/** Addresses are taken and not yet memory: a page costs something when a block lies there. */
const ROOM_BYTES = 8 * MiB;

let loading: Promise<(() => Xxh64) | undefined> | undefined;
let rooms: { readonly memory: ArrayBuffer; free: number } | undefined;

/** What makes a new hash; undefined where the package is not what this file knows. Loads once a thread. */
export function loadXxh64(): Promise<(() => Xxh64) | undefined> {
  loading ??= load();
  return loading;
}

/** Room for a block that is hashed where it lies, for as long as this thread lives; undefined: there is none (left). */
export function hashRoom(bytes: number): Uint8Array | undefined {
  if (!rooms || bytes > rooms.memory.byteLength - rooms.free) return undefined;
  rooms.free += bytes;
  return new Uint8Array(rooms.memory, rooms.free - bytes, bytes);
}

async function load(): Promise<(() => Xxh64) | undefined> {
  const machine = await takeMachine();
  if (!machine) return undefined;
  const { mem } = machine;
  const bytes = SCRATCH.at + SCRATCH.bytes + ROOM_BYTES;
  mem.grow(Math.ceil((bytes - mem.buffer.byteLength) / (64 * KiB)));
  const memory = mem.buffer;
  rooms = { memory, free: SCRATCH.at + SCRATCH.bytes };
  const state = new Uint8Array(memory, 0, STATE_BYTES);
  const scratch = new Uint8Array(memory, SCRATCH.at, SCRATCH.bytes);
  // It expects zeroes, as memory is at first.
  machine.init64(0, 0n);
  const fresh = state.slice();
  return () => newHash(machine, { state, kept: fresh.slice(), scratch });
}

/** The machine has one state at a time; what a hash has of it between two blocks is kept beside it. */
function newHash(machine: Machine, { state, kept, scratch }: Record<'state' | 'kept' | 'scratch', Uint8Array>): Xxh64 {
  return {
    update(block) {
      state.set(kept);
      if (block.buffer === state.buffer) machine.update64(0, block.byteOffset, block.length);
      else
        for (let at = 0; at < block.length; at += scratch.length) {
          const piece = block.subarray(at, at + scratch.length);
          scratch.set(piece);
          machine.update64(0, SCRATCH.at, piece.length);
        }
      kept.set(state);
    },
    digest() {
      state.set(kept);
      return BigInt.asUintN(64, machine.digest64(0));
    },
  };
}

/** A machine of our own: others write to the memory of theirs, and let it grow. */
async function takeMachine(): Promise<Machine | undefined> {
  const { WebAssembly: engine } = globalThis as unknown as { WebAssembly: { instantiate: Instantiate } };
  const { instantiate } = engine;
  let taken: Partial<Machine> | undefined;
  engine.instantiate = async (...given) => {
    const made = await instantiate(...given);
    taken = made.instance?.exports;
    return made;
  };
  try {
    const made = xxhash();
    // It has called by now, and nobody else has.
    engine.instantiate = instantiate;
    await made;
  } finally {
    engine.instantiate = instantiate;
  }
  return taken?.mem && taken.init64 && taken.update64 && taken.digest64 ? (taken as Machine) : undefined;
}
