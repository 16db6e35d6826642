/**
 * A small Linux under QEMU: Debian's cloud kernel, busybox, and a script that is its first and only process. The two
 * packages are fetched by apt and unpacked, not installed; nothing is compiled, and nothing needs a right of root.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const MEMORY_MIB = 160;
/** What makes disks of virtio appear, in the order in which they need each other. */
const MODULES = [
  'virtio/virtio_ring',
  'virtio/virtio',
  'virtio/virtio_pci_legacy_dev',
  'virtio/virtio_pci_modern_dev',
  'virtio/virtio_pci',
  'block/virtio_blk',
];
const TOOLS = ['qemu-system-x86_64', 'apt-get', 'apt-cache', 'dpkg-deb'];

export interface Kernel {
  /** A path. */
  readonly kernel: string;
  readonly modules: readonly Buffer[];
}

export interface Guest extends Kernel {
  readonly busybox: Buffer;
}

export interface GuestDisk {
  readonly path: string;
  /** As QEMU calls it. */
  readonly format: string;
}

export interface GuestRun {
  readonly folder: string;
  /** The first is /dev/vda. */
  readonly disks: readonly GuestDisk[];
  /** Files that the script finds in its root. */
  readonly files: Readonly<Record<string, string>>;
  /** For a shell, once all of the disks are there; then the guest is switched off. */
  readonly script: string;
  readonly msMax: number;
}

/** The parts of a guest, or why there can be none here. */
export function prepareGuest(folder: string): Guest | string {
  const kernel = fetchKernel(folder, ['busybox-static']);
  if (typeof kernel === 'string') return kernel;
  return { ...kernel, busybox: readFileSync(join(folder, 'root/bin/busybox')) };
}

/** Debian's cloud kernel, and other packages, unpacked below the folder; or why not. */
export function fetchKernel(folder: string, others: readonly string[] = []): Kernel | string {
  if (process.env.BLOCKFERRY_NO_APT === '1') return 'BLOCKFERRY_NO_APT=1 is set, so no kernel is fetched';
  const missing = TOOLS.filter((tool) => spawnSync('sh', ['-c', 'command -v "$0"', tool]).status !== 0);
  if (missing.length > 0) return `${missing.join(', ')} is not installed`;
  const depends = spawnSync('apt-cache', ['depends', 'linux-image-cloud-amd64'], { encoding: 'utf8' }).stdout;
  const kernelPackage = /Depends: (linux-image-\d\S*)/.exec(depends)?.[1];
  if (kernelPackage === undefined) return 'apt knows no linux-image-cloud-amd64';
  mkdirSync(folder, { recursive: true });
  const fetched = spawnSync('apt-get', ['download', '-qq', kernelPackage, ...others], {
    cwd: folder,
    encoding: 'utf8',
  });
  const packages = readdirSync(folder).filter((name) => name.endsWith('.deb'));
  if (fetched.status !== 0 || packages.length !== 1 + others.length) {
    return `apt-get download failed: ${fetched.stderr.trim()}`;
  }
  for (const name of packages) {
    const unpacked = spawnSync('dpkg-deb', ['-x', name, 'root'], { cwd: folder, encoding: 'utf8' });
    if (unpacked.status !== 0) return `dpkg-deb: ${unpacked.stderr.trim()}`;
  }
  return kernelIn(join(folder, 'root'));
}

function kernelIn(root: string): Kernel | string {
  const [version] = readdirSync(join(root, 'lib/modules'));
  if (version === undefined) return 'the kernel package holds no modules';
  const drivers = join(root, 'lib/modules', version, 'kernel/drivers');
  return {
    kernel: join(root, `boot/vmlinuz-${version}`),
    modules: MODULES.map((name) => readFileSync(join(drivers, `${name}.ko`))),
  };
}

/** Starts the guest, waits until it is off, and answers what it said. */
export async function runGuest(guest: Guest, { folder, disks, files, script, msMax }: GuestRun): Promise<string> {
  const init = [
    '#!/bin/busybox sh',
    '/bin/busybox --install -s /bin',
    'mount -t devtmpfs dev /dev',
    'mount -t proc proc /proc',
    ...guest.modules.map((_, index) => `insmod /module-${index}.ko`),
    `until [ -b /dev/vd${letterOf(disks.length - 1)} ]; do usleep 50000; done`,
    script,
    'poweroff -f',
  ].join('\n');
  const initramfs = join(folder, 'initramfs.gz');
  writeFileSync(initramfs, gzipSync(archiveOf(guest, { ...files, init })));
  const drives = disks.flatMap(({ path, format }) => [
    '-drive',
    `if=virtio,format=${format},cache=unsafe,file=${path}`,
  ]);
  const machine = ['-machine', 'pc,accel=tcg', '-m', `${MEMORY_MIB}`, '-nodefaults', '-no-reboot', '-display', 'none'];
  const boot = ['-kernel', guest.kernel, '-initrd', initramfs, '-append', 'console=ttyS0 quiet panic=-1'];
  const child = spawn('qemu-system-x86_64', [...machine, '-serial', 'stdio', ...boot, ...drives], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: msMax,
    killSignal: 'SIGKILL',
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1').on('data', (text: string) => {
      said += text;
    });
  }
  await once(child, 'close');
  return child.signalCode === null ? said : `${said}\nkilled after ${msMax} ms`;
}

export const letterOf = (disk: number): string => String.fromCharCode('a'.charCodeAt(0) + disk);

const [FOLDER, PROGRAM, CONSOLE] = [0o040755, 0o100755, 0o020600];

/** What the kernel unpacks into its root: busybox, and these files, which are all programs. */
function archiveOf({ busybox, modules }: Guest, files: Readonly<Record<string, string>>): Buffer {
  const programs = Object.entries(files).map(([name, text]) => [name, Buffer.from(text)] as const);
  return initramfsOf(modules, [['bin/busybox', busybox], ...programs]);
}

/** An archive of cpio's "newc" format; modules are called `module-0.ko` and so on. */
export function initramfsOf(modules: readonly Buffer[], programs: readonly (readonly [string, Buffer])[]): Buffer {
  const entries = [
    ...['bin', 'dev', 'proc'].map((name) => entryOf(name, FOLDER)),
    // Without it the first process has no output.
    entryOf('dev/console', CONSOLE, Buffer.alloc(0), [5, 1]),
    ...modules.map((bytes, index) => entryOf(`module-${index}.ko`, PROGRAM, bytes)),
    ...programs.map(([name, bytes]) => entryOf(name, PROGRAM, bytes)),
  ];
  return Buffer.concat([...entries, entryOf('TRAILER!!!', 0)]);
}

let inodes = 0;

function entryOf(name: string, mode: number, bytes: Buffer = Buffer.alloc(0), [major, minor] = [0, 0]): Buffer {
  const numbers = [++inodes, mode, 0, 0, 1, 0, bytes.length, 0, 0, major, minor, name.length + 1, 0];
  const header = `070701${numbers.map((number) => (number ?? 0).toString(16).padStart(8, '0')).join('')}${name}\0`;
  return Buffer.concat([padded(Buffer.from(header, 'latin1')), padded(bytes)]);
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
