/**
 * The arguments of QEMU for a machine. Only a checked description comes here. What has commas of its own goes in as
 * JSON or with its commas doubled, so that no name can become an option.
 */
import type { VmDescription, VmNetwork } from '../vm.js';
import { type Node, nodesOf, topNode } from './nodes.js';
import { CONSOLE_SOCKET, CONTROL_SOCKET, QUERY_SOCKET } from './sockets.js';

const MIB = 1024 * 1024;

/** What is asked of the process besides being this machine. */
export interface QemuStart {
  /** Bytes of what each fixed VHD holds, by its path. */
  readonly fixedBytes: ReadonlyMap<string, number>;
  /** It waits for a saved state. */
  readonly incoming: boolean;
}

/** Its guest does not run until it is told to; sockets are made in the working folder. */
export function argumentsOf(vm: VmDescription, { fixedBytes, incoming }: QemuStart): string[] {
  const bus = vm.machine.startsWith('pc-q35') ? 'pcie.0' : 'pci.0';
  return [
    ...['-name', `guest=${escaped(vm.name)}`, '-uuid', vm.id],
    ...['-machine', `${vm.machine},accel=${vm.accelerator}`, '-cpu', vm.cpu],
    ...['-m', `${vm.memoryBytes / MIB}M`, '-smp', `${vm.cpus}`],
    // What is not described is not there, and a guest that switches itself off is not taken for one that was killed.
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-S', '-no-shutdown'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...[CONTROL_SOCKET, QUERY_SOCKET].flatMap((name) => ['-qmp', `unix:${name},server=on,wait=off`]),
    ...consoleOf(vm),
    ...bootOf(vm),
    ...vm.disks.flatMap((disk) => [
      ...nodesOf(disk, fixedBytes).flatMap(blockdev),
      ...['-device', `virtio-blk-pci,drive=${topNode(disk)},id=${disk.id},bus=${bus},addr=${disk.address}`],
    ]),
    ...vm.networks.flatMap((network) => cardOf(network, bus)),
    ...(incoming ? ['-incoming', 'defer'] : []),
  ];
}

/** A file keeps what the guest says while nobody listens at the socket. */
function consoleOf({ consoleLog }: VmDescription): string[] {
  if (consoleLog === undefined) return [];
  const socket = `socket,id=console,path=${CONSOLE_SOCKET},server=on,wait=off`;
  return ['-chardev', `${socket},logfile=${escaped(consoleLog)},logappend=on`, '-serial', 'chardev:console'];
}

function bootOf({ kernel }: VmDescription): string[] {
  if (!kernel) return [];
  const initrd = kernel.initrd === undefined ? [] : ['-initrd', kernel.initrd];
  return ['-kernel', kernel.image, ...initrd, '-append', kernel.append];
}

function cardOf({ id, mac, address, kind }: VmNetwork, bus: string): string[] {
  // Without a ROM: nobody boots from it, and a saved state would need the very same one.
  const card = `virtio-net-pci,id=${id},mac=${mac},bus=${bus},addr=${address},romfile=`;
  if (kind === 'none') return ['-device', card];
  return ['-netdev', `user,id=${id}-net`, '-device', `${card},netdev=${id}-net`];
}

function blockdev(node: Node): string[] {
  return ['-blockdev', JSON.stringify(node)];
}

/** As QEMU's options take it. */
function escaped(text: string): string {
  return text.replaceAll(',', ',,');
}
