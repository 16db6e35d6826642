/** `blockferry vm`: machines are made known, looked at, started and stopped; vm-export moves them into folders. */
import { lstatSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { SavedState } from '../../migrate/hypervisor.js';
import type { VmStatus } from '../../migrate/vm.js';
import { parseVmDescription, VM_DESCRIPTION_BYTES_MAX } from '../../migrate/vm-description.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import { findVm, machines } from '../machine-access.js';
import { vmLine, vmLines, vmTable } from '../render/vm-text.js';
import type { Session } from '../session.js';
import type { VmFlags, VmStartFlags } from '../vm-program.js';

export async function runVmAdd(session: Session, file: string, flags: VmFlags): Promise<number> {
  const vm = parseVmDescription(textOf(file), file === '-' ? 'the standard input' : file);
  const { host } = await machines(flags);
  await host.add(vm);
  const { out, err } = session;
  if (flags.json) out.json(vmObject(await host.get(vm.id)));
  else {
    out.line(vm.id);
    err.line(`  Start it with: blockferry vm start ${vm.name}`);
  }
  return 0;
}

function textOf(file: string): string {
  try {
    const name = file === '-' ? 0 : encodePath(file);
    if (file !== '-' && lstatSync(name as string).size > VM_DESCRIPTION_BYTES_MAX) {
      throw new TransferError('E_USAGE', `${showPath(file)} is too large to be the description of a machine`);
    }
    return readFileSync(name, 'utf8');
  } catch (cause) {
    if (cause instanceof TransferError) throw cause;
    throw new TransferError('E_USAGE', `${showPath(file)} cannot be read (${errnoOf(cause) ?? String(cause)})`, {
      hint: 'Name the file with the description of the machine (JSON), or "-" for the standard input.',
      cause,
    });
  }
}

export function vmObject(status: VmStatus): object {
  return { schema: 1, type: 'vm', ...status };
}

export async function runVmList({ out, err }: Session, flags: VmFlags): Promise<number> {
  const list = await (await machines(flags)).host.list();
  if (flags.json) for (const one of list) out.json(vmObject(one));
  else if (list.length === 0) err.line('no machine is known here; "vm add" and "vm import" make them known');
  else for (const line of vmTable(list)) out.line(line);
  return 0;
}

export async function runVmInfo({ out }: Session, given: string, flags: VmFlags): Promise<number> {
  const status = await findVm(await machines(flags), given);
  if (flags.json) out.json(vmObject(status));
  else for (const line of vmLines(status)) out.line(line);
  return 0;
}

export async function runVmStart(session: Session, given: string, flags: VmStartFlags): Promise<number> {
  const open = await machines(flags);
  const { vm } = await findVm(open, given);
  await open.start(vm.id, savedOf(flags));
  return tell(session, await open.host.get(vm.id), flags);
}

function savedOf({ from, sha256 }: VmStartFlags): SavedState | undefined {
  if (from === undefined && sha256 === undefined) return undefined;
  if (from === undefined || !/^[0-9a-f]{64}$/i.test(sha256 ?? '')) {
    throw new TransferError('E_USAGE', 'a saved state is known by its file and its SHA-256', {
      hint: 'Say both --from <file> and --sha256 <64 hex digits>; "vm import" prints them. Nothing was started.',
    });
  }
  const path = resolve(from);
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isFile()) return { path, bytes: stat.size, sha256: (sha256 as string).toLowerCase() };
  throw new TransferError('E_SOURCE_MISSING', `${showPath(path)} is no file`, { hint: 'Nothing was started.' });
}

export async function runVmStop(session: Session, given: string, flags: VmFlags): Promise<number> {
  const open = await machines(flags);
  const { vm } = await findVm(open, given);
  await open.host.stop(vm.id);
  return tell(session, await open.host.get(vm.id), flags);
}

export async function runVmRemove({ out }: Session, given: string, flags: VmFlags): Promise<number> {
  const open = await machines(flags);
  const { vm } = await findVm(open, given);
  await open.host.remove(vm.id);
  if (flags.json) out.json({ schema: 1, type: 'removed', id: vm.id, name: vm.name });
  else out.line(`${vm.name} is not known here any more; its images are where they were`);
  return 0;
}

function tell({ out }: Session, status: VmStatus, { json }: VmFlags): number {
  if (json) out.json(vmObject(status));
  else out.line(vmLine(status));
  return 0;
}
