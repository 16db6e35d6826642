/** `blockferry vm export` and `vm import`. */
import { resolve } from 'node:path';
import { nowMs, systemClock } from '../../core/clock.js';
import { TransferError } from '../../core/errors.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import type { ExportRequest, PortableEvent } from '../../migrate/export-import.js';
import { onInterrupt } from '../follow.js';
import { findVm, machines, targetPaths } from '../machine-access.js';
import { count } from '../render/summary.js';
import type { Session } from '../session.js';
import type { VmExportFlags, VmFlags, VmImportFlags } from '../vm-program.js';

export async function runVmExport(
  session: Session,
  given: string,
  folder: string,
  flags: VmExportFlags,
): Promise<number> {
  const what = whatOf(flags);
  return interruptible(session, async (signal) => {
    const began = nowMs(systemClock);
    const open = await machines(flags, { signal, onEvent: teller(session, flags) });
    const { vm } = await findVm(open, given);
    const request = { vm: vm.id, folder: resolve(folder), what, flatten: flags.flatten ?? false };
    const { manifest, ...exported } = await open.exportVm(request);
    if (flags.json) {
      session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', ...exported, manifest });
      return;
    }
    const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
    const took = formatDuration(nowMs(systemClock) - began);
    session.out.line(`${exported.folder}: ${count(manifest.files.length, 'file')}, ${formatBytes(bytes)}, in ${took}`);
  });
}

function whatOf({ configuration, snapshot, flatten }: VmExportFlags): ExportRequest['what'] {
  if (configuration && (snapshot !== undefined || flatten)) {
    throw new TransferError(
      'E_USAGE',
      '--configuration exports no disk, and --snapshot and --flatten are about disks',
      {
        hint: 'Leave one of them out. Nothing was changed.',
      },
    );
  }
  return configuration ? 'configuration' : (snapshot ?? 'data');
}

export async function runVmImport(session: Session, folder: string, flags: VmImportFlags): Promise<number> {
  const { inPlace, newId, name } = flags;
  const to = targetPaths(flags);
  if ((inPlace ?? false) === (to !== undefined)) {
    throw new TransferError('E_USAGE', 'the files of an export are used where they are, or copied', {
      hint: 'Say --in-place, or --to and --disk for a copy. Nothing was changed.',
    });
  }
  return interruptible(session, async (signal) => {
    const open = await machines(flags, { signal, onEvent: teller(session, flags) });
    const { vm, saved } = await open.importVm({
      folder: resolve(folder),
      ...(to && { to }),
      ...(newId && { id: 'new' }),
      ...(name !== undefined && { name }),
    });
    if (flags.json) {
      session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'result', vm, ...(saved && { saved }) });
      return;
    }
    session.out.line(vm.id);
    const from = saved ? ` --from ${saved.path} --sha256 ${saved.sha256}` : '';
    session.err.line(`  Start it with: blockferry vm start ${vm.id.slice(0, 8)}${from}`);
  });
}

/** The first Ctrl-C ends it in order. */
async function interruptible(session: Session, work: (signal: AbortSignal) => Promise<void>): Promise<number> {
  const stop = new AbortController();
  const done = onInterrupt(session, () => {
    session.err.line('stopping: what was made so far is removed (once more: leave at once)');
    stop.abort();
  });
  try {
    await work(stop.signal);
    return 0;
  } finally {
    done();
  }
}

/** Programs hear all of it, people each file as it is done. */
function teller({ out, err }: Session, { json, quiet }: VmFlags): (event: PortableEvent) => void {
  return (event) => {
    if (json) out.json({ schema: 1, at: systemClock.wallMs(), ...event });
    else if (quiet) return;
    else if (event.type === 'note') err.line(`note: ${event.message}`);
    else if (event.state === 'done') err.line(`${event.path}: ${formatBytes(event.size)}, proven`);
  };
}
