/**
 * Reads the description of a machine from JSON. It may come from a stranger, and what it says becomes arguments of a
 * process: so each field has bounds, nothing unknown is let in, and what is wrong is told by the name of its field.
 */
import { normalize } from 'node:path';
import Type, { type Static, type TSchema } from 'typebox';
import Value from 'typebox/value';
import { TransferError } from '../core/errors.js';
import { showPath } from '../platform/path-bytes.js';
import type { VmDescription, VmDisk } from './vm.js';

export const VM_DESCRIPTION_BYTES_MAX = 1024 * 1024;

const MIB = 1024 * 1024;
const TIB = MIB * MIB;
const SECTOR_BYTES = 512;
/** The largest disk of any format that is known here: VHDX. */
const DISK_BYTES_MAX = 64 * TIB;
const CHAIN_MAX = 64;
/** As many as there are free places on the bus. */
const DEVICES_MAX = 29;

/** Names of unknown fields come from whoever wrote them. */
const FIELD_SHOWN = 200;

/** Controls, and what stands for bytes that are not UTF-8, which the monitor of a hypervisor cannot be told. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const UNSPEAKABLE = /[\u0000-\u001f\u007f]|\p{Cs}/u;

interface Described extends TSchema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Described>>;
  readonly items?: Described;
}

function record<P extends Record<string, TSchema>>(properties: P, expected: string) {
  return Type.Object(properties, { additionalProperties: false, description: expected });
}

function word(pattern: string, expected: string) {
  return Type.String({ pattern, maxLength: 256, description: expected });
}

function whole(minimum: number, maximum: number, expected: string, multipleOf = 1) {
  return Type.Integer({ minimum, maximum, multipleOf, description: expected });
}

function oneOf<const W extends readonly string[]>(words: W) {
  const schema = { type: 'string', enum: [...words], description: `one of ${words.join(', ')}` };
  return Type.Unsafe<W[number]>(schema);
}

function listOf<S extends TSchema>(items: S, minItems: number, maxItems: number, expected: string) {
  return Type.Array(items, { minItems, maxItems, description: `a list of ${minItems} to ${maxItems} ${expected}` });
}

const path = Type.String({ pattern: '^/', maxLength: 4096, description: 'an absolute path' });
const line = (maxLength: number) =>
  Type.String({ maxLength, description: `a line of at most ${maxLength} characters` });
/** Where the bridge and the controllers of the machine are, nothing else can be. */
const address = word('^0x([2-9a-f]|1[0-9a-e])$', 'a place on the PCI bus, from 0x2 to 0x1e');
const id = word('^[a-z][a-z0-9]{0,15}$', 'at most 16 small letters and digits, a letter first');

const image = record(
  { path, format: oneOf(['raw', 'vhd-fixed', 'vhd-dynamic', 'vhdx', 'qcow2']) },
  'an image: path and format',
);
const disk = record(
  {
    id,
    sizeBytes: whole(SECTOR_BYTES, DISK_BYTES_MAX, 'whole sectors of 512 bytes, at most 64 TiB', SECTOR_BYTES),
    chain: listOf(image, 1, CHAIN_MAX, 'images'),
    address,
  },
  'a disk: id, sizeBytes, chain and address',
);
const network = record(
  {
    id,
    mac: word('^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$', 'the address of one card, such as 52:54:00:12:34:56'),
    address,
    kind: oneOf(['user', 'none']),
  },
  'a network card: id, mac, address and kind',
);
const kernel = record(
  { image: path, initrd: Type.Optional(path), append: line(2048) },
  'a kernel: image, append, and perhaps initrd',
);

const SCHEMA = record(
  {
    schema: Type.Literal(1, { description: '1, the only one that this version knows' }),
    id: word('^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$', 'a UUID in small letters'),
    name: Type.String({ minLength: 1, maxLength: 128, description: 'a name of at most 128 characters' }),
    machine: word('^pc-(i440fx|q35)-[0-9]{1,2}\\.[0-9]{1,2}$', 'a machine type with its version: pc-i440fx-7.2'),
    accelerator: oneOf(['tcg', 'kvm']),
    cpu: word('^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$', 'the name of a CPU model'),
    cpus: whole(1, 255, 'a number from 1 to 255'),
    memoryBytes: whole(MIB, 16 * TIB, 'whole MiB, at most 16 TiB', MIB),
    disks: listOf(disk, 0, DEVICES_MAX, 'disks'),
    networks: listOf(network, 0, DEVICES_MAX, 'network cards'),
    kernel: Type.Optional(kernel),
    consoleLog: Type.Optional(path),
  },
  'a description of a machine',
);

/** @param name for people: the file, or who sent it. @throws TransferError E_USAGE naming the field */
export function parseVmDescription(text: string, name: string): VmDescription {
  if (Buffer.byteLength(text) > VM_DESCRIPTION_BYTES_MAX) throw wrong(name, 'it', 'at most 1 MiB of JSON');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw wrong(name, 'it', 'JSON', cause);
  }
  return readVmDescription(value, name);
}

/** The same for what was parsed already. @throws TransferError E_USAGE naming the field */
export function readVmDescription(value: unknown, name: string): VmDescription {
  if (!Value.Check(SCHEMA, value)) {
    const [first] = Value.Errors(SCHEMA, value);
    const missing = first?.keyword === 'required' ? `/${first.params.requiredProperties[0]}` : '';
    const { field, expected } = whatIsWrong(`${first?.instancePath ?? ''}${missing}`);
    throw wrong(name, field, expected);
  }
  const vm: VmDescription = value as Static<typeof SCHEMA>;
  assertPlain(vm, name);
  assertUnique(vm, name);
  vm.disks.forEach((one, at) => {
    assertChain(one, `disks[${at}]`, name);
  });
  return vm;
}

/** The field as people write it, and what its schema says that it should be. */
function whatIsWrong(pointer: string): { readonly field: string; readonly expected: string } {
  const steps = pointer.split('/').slice(1);
  let schema: Described | undefined = SCHEMA as TSchema as Described;
  for (const step of steps) schema = schema?.items ?? schema?.properties?.[step];
  const field = steps.map((step) => (/^\d+$/.test(step) ? `[${step}]` : `.${step}`)).join('');
  return {
    field: showPath(field.slice(0, FIELD_SHOWN).replace(/^\./, '')) || 'it',
    expected: schema?.description ?? 'a field of it',
  };
}

/** Nothing that a terminal, a monitor or a log would take for something else; paths say one thing only. */
function assertPlain(vm: VmDescription, name: string): void {
  for (const [field, text] of pathsOf(vm)) {
    if (UNSPEAKABLE.test(text)) throw wrong(name, field, 'a path of UTF-8 without control characters');
    if (normalize(text) !== text || text.endsWith('/')) throw wrong(name, field, "a path without '..', '.' or '//'");
  }
  if (UNSPEAKABLE.test(vm.name)) throw wrong(name, 'name', 'a name without control characters');
  if (UNSPEAKABLE.test(vm.kernel?.append ?? '')) throw wrong(name, 'kernel.append', 'one line of plain text');
}

function pathsOf({ disks, kernel: boot, consoleLog }: VmDescription): [string, string][] {
  const paths: [string, string][] = imagesOf(disks);
  if (boot) paths.push(['kernel.image', boot.image]);
  if (boot?.initrd !== undefined) paths.push(['kernel.initrd', boot.initrd]);
  if (consoleLog !== undefined) paths.push(['consoleLog', consoleLog]);
  return paths;
}

function imagesOf(disks: readonly VmDisk[]): [string, string][] {
  return disks.flatMap(({ chain }, at) =>
    chain.map((one, link): [string, string] => [`disks[${at}].chain[${link}].path`, one.path]),
  );
}

function assertUnique(vm: VmDescription, name: string): void {
  const devices = [
    ...vm.disks.map((one, at) => ({ at: `disks[${at}]`, ...one })),
    ...vm.networks.map((one, at) => ({ at: `networks[${at}]`, ...one })),
  ];
  const lists: (readonly [string, string])[][] = [
    devices.map((one) => [`${one.at}.id`, one.id] as const),
    devices.map((one) => [`${one.at}.address`, one.address] as const),
    vm.networks.map((one, at) => [`networks[${at}].mac`, one.mac] as const),
    imagesOf(vm.disks),
  ];
  for (const list of lists) {
    const seen = new Map<string, string>();
    for (const [field, text] of list) {
      const other = seen.get(text);
      if (other !== undefined) throw wrong(name, field, `another one than ${other} has`);
      seen.set(text, field);
    }
  }
}

/** Raw and fixed images hold all of a disk: nothing can be below them. */
function assertChain({ chain }: VmDisk, field: string, name: string): void {
  const at = chain.findIndex(({ format }, link) => link > 0 && (format === 'raw' || format === 'vhd-fixed'));
  if (at > 0) throw wrong(name, `${field}.chain[${at}].format`, 'a format that can build on another image');
}

function wrong(name: string, field: string, expected: string, cause?: unknown): TransferError {
  return new TransferError('E_USAGE', `${name} describes no machine: ${field} is not ${expected}`, {
    hint: 'See docs/migration.md for what a description holds. Nothing was changed.',
    ...(cause !== undefined && { cause }),
  });
}
