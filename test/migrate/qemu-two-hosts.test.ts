import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { verifyReceipt } from '../../src/migrate/receipt.js';
import { buildGuest, Guest } from '../support/guest/noticing-guest.js';
import { TestHost } from '../support/guest/qemu-host.js';
import { startPeerHost } from '../support/peer-host.js';

const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const built = buildGuest();
const run = promisify(execFile);

async function blockferry(state: string, ...args: readonly string[]): Promise<string> {
  return (await run(process.execPath, [MAIN, ...args, '--state', state])).stdout;
}

/** `blockferry serve` of the host that has the machine. */
async function serve(state: string): Promise<void> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--json', '--state', state], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    if (child.exitCode !== null) return;
    child.kill('SIGTERM');
    await exited;
  });
  await once(child.stdout, 'data');
}

describe.skipIf(typeof built === 'string')('with real QEMU', () => {
  if (typeof built === 'string') return;
  test('a guest moves to another host, and notices nothing but the time', { timeout: 300_000 }, async () => {
    const host = new TestHost();
    onTestFinished(() => host.close());
    const vm = await host.machine(built, [['qcow2'], ['raw']]);
    const there = await startPeerHost();
    const target = join(there.root, 'web');
    onTestFinished(async () => {
      if (existsSync(join(there.state, 'vms'))) await blockferry(there.state, 'vm', 'stop', vm.id);
      await there.stop();
    });
    const state = join(host.folder, 'state');
    mkdirSync(state, { recursive: true });
    const token = there.tokens('add', 'mover', '--rights', 'vm,write');
    const pin = there.pin.replace('sha256:', '');
    writeFileSync(join(state, 'peers.json'), JSON.stringify({ [`127.0.0.1:${there.port}`]: { token, pin } }), {
      mode: 0o600,
    });
    await serve(state);
    await host.vms.start(vm.id);
    const first = await host.guest(vm).reaches(50);

    const to = `peer://127.0.0.1:${there.port}/images/web`;
    const preview = JSON.parse(await blockferry(state, 'migrate', 'plan', vm.id, '--to-host', to, '--json'));
    expect(preview).toMatchObject({ problems: [], plan: { folders: { target: '/images/web' } } });
    await blockferry(state, 'migrate', 'start', vm.id, '--to-host', to, '--watch');

    const log = readdirSync(target).find((name) => name.startsWith('console-')) ?? '';
    const guest = new Guest(join(target, log), join(there.state, 'vms', vm.id, 'console.sock'));
    const beat = await guest.goesOn();
    expect(beat).toMatchObject({ boot: first.boot, corrupt: 0, errors: 0 });
    expect(beat.seq).toBeGreaterThan(host.guest(vm).heartbeats.at(-1)?.seq ?? Number.NaN);
    const inside = await guest.verify();
    expect(inside.map(({ wrong }) => wrong)).toEqual([0, 0]);

    const info = JSON.parse(await blockferry(there.state, 'vm', 'info', vm.id, '--json'));
    expect(info).toMatchObject({ state: 'running', ownership: { state: 'here' } });
    expect(info.vm.disks.map(({ chain }: (typeof vm.disks)[number]) => chain.map(({ path }) => path))).toEqual([
      [join(target, 'd0-0.qcow2')],
      [join(target, 'd1-0.raw')],
    ]);
    await blockferry(there.state, 'vm', 'stop', vm.id);
    expect(host.scan(built, info.vm).map(({ digest }) => digest)).toEqual(inside.map(({ digest }) => digest));
    const receipt = JSON.parse(await blockferry(state, 'migrate', 'receipt', vm.id, '--json'));
    expect(
      verifyReceipt(receipt)
        .files.map(({ kind }) => kind)
        .sort(),
    ).toEqual([...['base', 'base', 'boot', 'boot', 'delta', 'delta', 'state']]);
    const gone = await host.vms.get(vm.id);
    expect(gone).toMatchObject({ state: 'off', ownership: { state: 'gone', to: `peer://127.0.0.1:${there.port}` } });
    expect(readdirSync(dirname(vm.disks[0]?.chain[0]?.path ?? '')).filter((name) => /^d\d/.test(name))).toEqual([]);
    await expect(host.vms.start(vm.id)).rejects.toMatchObject({ code: 'E_VM_STATE' });
  });
});
