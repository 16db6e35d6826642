/**
 * A running machine moves to other storage, as a story: its guest writes to its disks and says ten times a second that
 * it lives; it is moved, and noticed nothing but a short pause. Exits with 0 only when everything was as promised, and
 * leaves nothing behind unless asked to. Needs root on Debian, for the packages.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { nowMs, systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import { formatDuration, MiB } from '../src/core/units.js';
import type { VmDescription } from '../src/migrate/vm.js';
import { type BuiltGuest, buildGuest, Guest, scanDisk } from '../test/support/guest/noticing-guest.js';
import { Printer } from './demo-print.js';
import { watchHeart } from './demo-qsm-heart.js';
import { installMissing, make, runBlockferry, type Served, serve } from './demo-qsm-host.js';

const HELP = `usage: npm run demo:qsm -- [options]

Moves a running virtual machine to another folder, and shows that its guest noticed nothing but a short pause.
As root on Debian it installs what is missing (QEMU, gcc) and downloads a kernel for the guest.

  --dir <folder>   work in a new folder inside this one (default: ${tmpdir()})
  --keep           keep the machine's files
`;
const DISKS = [
  { id: 'd0', name: 'system.vhdx', format: 'vhdx', address: '0x4', bytes: 256 * MiB },
  { id: 'd1', name: 'data.vhd', format: 'vhd-dynamic', address: '0x5', bytes: 64 * MiB },
] as const;
const VM = '5f0c1a2b-7d31-4c06-9a55-b10cfe221900';
const RECORDS_BEFORE = 300;
const RECORDS_AFTER = 200;

/** What the steps share. */
interface Scene {
  readonly folder: string;
  readonly print: Printer;
  readonly built: BuiltGuest;
  readonly guest: Guest;
}

async function tell(dir: string, keep: boolean, print: Printer): Promise<void> {
  print.line('Blockferry demo: a running virtual machine moves to other storage.');
  print.step('What the demo needs');
  installMissing(print);
  const built = buildGuest();
  if (typeof built === 'string') throw new TransferError('E_USAGE', `there can be no guest here: ${built}`);
  print.good('a small Linux whose only process writes numbered records, and notices any that is lost or stale');
  const folder = mkdtempSync(join(dir, 'bf-qsm-'));
  let served: Served | undefined;
  try {
    print.note(`Folder: ${folder} (${keep ? 'kept' : 'removed'} at the end)`);
    served = await serve(folder);
    const vm = describe(folder, built);
    const guest = new Guest(vm.consoleLog ?? '', join(served.state, 'vms', vm.id, 'console.sock'));
    const scene = { folder, print, built, guest };
    await begin(scene, vm);
    const before = await move(scene);
    await prove(scene, before);
  } finally {
    if (served) await runBlockferry(folder, ['vm', 'stop', VM]).catch((thrown) => print.warn(String(thrown)));
    await served?.close();
    if (!keep) rmSync(folder, { recursive: true, force: true });
  }
}

function describe(folder: string, built: BuiltGuest): VmDescription {
  for (const name of ['slow', 'fast']) mkdirSync(join(folder, name));
  const disks = DISKS.map(({ id, name, format, address, bytes }) => {
    const path = join(folder, 'slow', name);
    make(format, path, bytes);
    return { id, sizeBytes: bytes, address, chain: [{ path, format }] };
  });
  const vm: VmDescription = {
    ...{ schema: 1, id: VM, name: 'web', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
    ...{ memoryBytes: 128 * MiB, disks, networks: [], consoleLog: join(folder, 'console.log') },
    kernel: { image: built.kernel, initrd: built.initrd, append: 'console=ttyS0 quiet panic=-1 tsc=unstable' },
  };
  writeFileSync(join(folder, 'web.json'), `${JSON.stringify(vm, undefined, 2)}\n`);
  return vm;
}

async function begin({ folder, print, guest }: Scene, vm: VmDescription): Promise<void> {
  print.step('A machine with two disks, a VHDX and a dynamic VHD, runs from the folder "slow"');
  for (const args of [
    ['vm', 'add', 'web.json'],
    ['vm', 'start', 'web'],
    ['vm', 'list'],
  ]) {
    print.command(args);
    print.quote(await runBlockferry(folder, args));
  }
  print.note('its guest starts...');
  const beat = await guest.reaches(RECORDS_BEFORE);
  print.good(`${vm.name} runs: it has written ${beat.seq} records, and started as ${beat.boot}`);
}

/** Answers what the guest said before. */
async function move({ folder, print, guest }: Scene): Promise<string> {
  print.step('What a migration to the folder "fast" would do');
  const to = ['--to', join(folder, 'fast')];
  const plan = ['migrate', 'plan', 'web', ...to, '--max-blackout', '10s'];
  print.command(plan);
  print.quote(await runBlockferry(folder, plan));

  print.step('It is moved while it runs');
  const boot = guest.heartbeats.at(-1)?.boot ?? '';
  const heart = watchHeart(guest, (line) => print.note(line));
  const start = ['migrate', 'start', 'web', ...to, '--max-blackout', '10s', '--watch'];
  const began = nowMs(systemClock);
  print.command(start);
  try {
    await runBlockferry(folder, start, (line) => print.quote(line));
    await guest.goesOn(RECORDS_AFTER);
  } finally {
    heart.stop();
  }
  const { gapMs, beats } = heart;
  print.good(`moved in ${formatDuration(nowMs(systemClock) - began)}; ${beats} heartbeats were seen meanwhile`);
  print.good(`the longest time without a heartbeat, as seen from outside: ${formatDuration(gapMs)}`);
  return boot;
}

async function prove({ folder, print, built, guest }: Scene, boot: string): Promise<void> {
  print.step('Proof');
  const last = guest.heartbeats.at(-1);
  assert(last?.boot === boot, 'the guest was started again');
  assert(last?.corrupt === 0 && last.errors === 0, 'the guest has met a wrong record');
  print.good(`the same guest as before (${boot}) goes on at record ${last?.seq}; it has met no wrong record`);
  const seen = await guest.verify();
  assert(seen.length === DISKS.length && seen.every(({ wrong }) => wrong === 0), 'a record on the disks is wrong');
  print.good(`it has read all its records again: ${seen.map(({ used }) => used).join(' and ')}, none of them wrong`);
  const receipt = join(folder, 'receipt.json');
  writeFileSync(receipt, await runBlockferry(folder, ['migrate', 'receipt', 'web']));
  const verify = ['verify', '--receipt', 'receipt.json'];
  print.command(verify);
  print.quote(await runBlockferry(folder, verify));
  await runBlockferry(folder, ['vm', 'stop', 'web']);
  const list: { vm: VmDescription } = JSON.parse(await runBlockferry(folder, ['vm', 'info', 'web', '--json']));
  list.vm.disks.forEach(({ id, chain }, at) => {
    assert(chain.length === 1, `${id} still has ${chain.length} images`);
    const raw = join(folder, `${id}.raw`);
    make('raw', raw, chain[0]?.path ?? '');
    const { wrong, digest } = scanDisk(built, raw, at);
    assert(wrong === 0 && digest === seen[at]?.digest, `${id} at the target is not what the guest has written`);
  });
  print.good('read from outside, the disks at the target hold what the guest says that it has written');
  const left = readdirSync(join(folder, 'slow'));
  assert(left.length === 0, `the source still has ${left.join(', ')}`);
  print.good('nothing is left at the source');
  const { blackout } = JSON.parse(readFileSync(receipt, 'utf8')) as { blackout: Record<string, number> };
  print.table('The blackout', [
    ['predicted before it', formatDuration(blackout.predictedMs ?? 0)],
    ['measured', formatDuration(blackout.measuredMs ?? 0)],
  ]);
}

function assert(holds: boolean, otherwise: string): void {
  if (!holds) throw new TransferError('E_INTEGRITY', otherwise);
}

const { values } = parseArgs({
  options: { dir: { type: 'string' }, keep: { type: 'boolean' }, help: { type: 'boolean' } },
});
const print = new Printer(process.stdout);
if (values.help) process.stdout.write(HELP);
else {
  try {
    await tell(resolve(values.dir ?? tmpdir()), values.keep ?? false, print);
  } catch (thrown) {
    const error = TransferError.from(thrown);
    print.warn(error.message);
    if (error.hint !== undefined) print.note(error.hint);
    process.exitCode = error.exitCode;
  }
}
