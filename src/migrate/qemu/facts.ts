/** Which QEMU this host has, and which machines it can be. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { HostFacts } from '../vm-host.js';
import { QEMU } from './process.js';

const ANSWER_MS_MAX = 30_000;
const run = promisify(execFile);

let known: Promise<HostFacts> | undefined;

/** Asked once for each process of ours. @throws TransferError E_HYPERVISOR */
export function qemuFacts(): Promise<HostFacts> {
  known ??= ask().catch((thrown) => {
    known = undefined;
    throw noQemu(thrown);
  });
  return known;
}

async function ask(): Promise<HostFacts> {
  const [version, help] = await Promise.all([say('--version'), say('-machine', 'help')]);
  const number = /version (\S+)/.exec(version)?.[1] ?? 'of an unknown version';
  const machines = help.split('\n').flatMap((line) => /^(pc-(?:i440fx|q35)-\S+)/.exec(line)?.[1] ?? []);
  return { hypervisor: `QEMU ${number}`, machines };
}

async function say(...args: string[]): Promise<string> {
  return (await run(QEMU, args, { timeout: ANSWER_MS_MAX })).stdout;
}

function noQemu(thrown: unknown): TransferError {
  const missing = errnoOf(thrown) === 'ENOENT';
  return new TransferError('E_HYPERVISOR', missing ? `${QEMU} is not installed` : `${QEMU} does not start`, {
    hint: 'Install it: on Debian, apt-get install qemu-system-x86.',
    cause: thrown,
  });
}
