/** What is known of machines, as a table and as a few calm lines. */
import { formatBytes } from '../../core/units.js';
import type { Ownership, VmStatus } from '../../migrate/vm.js';
import { showPath } from '../../platform/path-bytes.js';
import { shortId } from '../service-access.js';
import { count } from './summary.js';

/** Columns as wide as what is in them. */
export function vmTable(machines: readonly VmStatus[]): string[] {
  const rows = [['vm', 'name', 'state', 'memory', 'disks', 'where'], ...machines.map(cellsOf)];
  const widths = rows.reduce<number[]>((most, row) => row.map((cell, at) => Math.max(cell.length, most[at] ?? 0)), []);
  return rows.map((row) => {
    const cells = row.map((cell, at) => cell.padEnd(widths[at] ?? 0));
    return cells.join('  ').trimEnd();
  });
}

function cellsOf({ vm, ownership, state }: VmStatus): string[] {
  const bytes = vm.disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const disks = `${vm.disks.length} (${formatBytes(bytes)})`;
  return [shortId(vm.id), showPath(vm.name), state, formatBytes(vm.memoryBytes), disks, placeText(ownership)];
}

/** In a word or two; whereText says all of it. */
function placeText(ownership: Ownership): string {
  if (ownership.state === 'gone') return `at ${showPath(ownership.to)}`;
  return ownership.state === 'here' ? 'here' : 'comes here';
}

function whereText(ownership: Ownership): string {
  if (ownership.state === 'here') return 'here';
  if (ownership.state === 'placeholder') return `comes here with migration ${shortId(ownership.migration)}`;
  return `went to ${showPath(ownership.to)} with migration ${shortId(ownership.migration)}`;
}

/** `5f0c1a2b web: running`. */
export function vmLine({ vm, state }: VmStatus): string {
  return `${shortId(vm.id)} ${vm.name}: ${state}`;
}

export function vmLines({ vm, ownership, state, pid }: VmStatus): string[] {
  const { machine, accelerator, cpu, cpus, memoryBytes, disks, networks, kernel, consoleLog } = vm;
  const process = pid === undefined ? '' : `, process ${pid}`;
  return [
    `${vm.name}: ${state}${process}; ${whereText(ownership)}`,
    `  ${machine} (${accelerator}), ${cpus} x ${cpu}, ${formatBytes(memoryBytes)} of memory`,
    ...disks.flatMap(({ id, sizeBytes, chain }) => [
      `  disk ${id}: ${formatBytes(sizeBytes)}, ${count(chain.length, 'image')}`,
      ...chain.map(({ path, format }) => `    ${path} (${format})`),
    ]),
    ...networks.map(({ id, mac, kind }) => `  network ${id}: ${mac} (${kind})`),
    ...(kernel ? [`  starts ${kernel.image}`] : []),
    ...(consoleLog === undefined ? [] : [`  its console is in ${consoleLog}`]),
    `  id ${vm.id}`,
  ];
}
