/**
 * What a host asks of another one about virtual machines, as part of the calls between peers. A machine comes as the
 * JSON text of its description, which is checked as a whole where it arrives. Paths are `/ROOT/path`, with the name of
 * a root of the host that is asked: neither side ever says where a root lies.
 */
import { count, flag, listOf, object, oneOf, pairOf, type Shape, text } from './shape.js';
import { MiB } from './units.js';

const id = text(36, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
const path = text(4096, /^\/[^/]/);
const vm = text(MiB);
const hex = text(64, /^[0-9a-f]{64}$/);
const disk = text(16, /^[a-z][a-z0-9]*$/);
const nothing = object({});
const ownership = object({ state: oneOf('here', 'placeholder', 'gone') }, { migration: text(100), to: text(300) });
const savedState = object({ path, bytes: count(), sha256: hex });

function call<Request, Answer>(request: Shape<Request>, answer: Shape<Answer>) {
  return { request, answer, right: 'vm' } as const;
}

/** Each may be asked again when its answer was lost. */
export const MACHINE_CALLS = {
  'vm-facts': call(nothing, object({ hypervisor: text(200), machines: listOf(text(100), 1000) })),
  'vm-list': call(nothing, object({ ids: listOf(id, 10_000) })),
  'vm-get': call(
    object({ id }),
    object({ vm, ownership, state: oneOf('off', 'running', 'paused', 'saved', 'io-error', 'lost') }, { pid: count() }),
  ),
  /** Sentences: what is in the way. */
  'vm-check': call(
    object({ vm, folders: listOf(path, 100), bytes: count() }),
    object({ sentences: listOf(text(4000), 1000) }),
  ),
  'vm-placeholder': call(object({ vm, migration: id }), nothing),
  'vm-remove-placeholder': call(object({ id, migration: id }), nothing),
  'vm-start': call(object({ vm, migration: id }, { from: savedState }), nothing),
  'vm-take': call(object({ id, migration: id }), nothing),
  'vm-ownership': call(object({ id }), object({ ownership })),
  /** For each disk the image that its overlays are merged into. */
  'vm-merge': call(object({ vm, into: listOf(pairOf(disk, path), 100) }), object({ vm })),
  /** Of the merge that is under way. */
  'vm-merge-progress': call(
    object({ id }),
    object({ disks: listOf(object({ disk, bytesDone: count(), bytesTotal: count() }), 100) }),
  ),
  /** `found` absent: there is no such file. */
  'vm-file': call(object({ path }), object({}, { found: object({ bytes: count(), version: text(300) }) })),
  /** By reading the file there; `whole`: with its SHA-256 as a whole, too. */
  'vm-file-digest': call(
    object({ path, whole: flag }),
    object({ bytes: count(), root: hex, chunkBytes: count() }, { sha256: hex }),
  ),
  'vm-repoint': call(object({ image: path, parent: path }), nothing),
  'vm-make-folder': call(object({ path }), nothing),
  'vm-remove-file': call(object({ path }), nothing),
} as const;

export type MachineCall = keyof typeof MACHINE_CALLS;
