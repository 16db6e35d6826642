import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startTestControl } from '../support/control.js';
import { needsCommands } from '../support/pane.js';
import { type Ended, MAIN, start, workFolder } from './command.js';

interface Host {
  readonly folder: string;
  readonly unit: string;
  run(...args: readonly string[]): Promise<Ended>;
  /** What systemctl was asked; empty where there is none. */
  asked(): readonly string[];
}

/** A home of its own; `systemctl` writes down what it is asked, and answers with that exit code. */
async function host(systemctl?: number): Promise<Host> {
  const { folder } = await workFolder(1);
  const [config, tools, state] = [join(folder, 'config'), join(folder, 'tools'), join(folder, 'state')];
  mkdirSync(tools);
  const log = join(folder, 'asked');
  if (systemctl !== undefined) {
    writeFileSync(join(tools, 'systemctl'), `#!/bin/sh\necho "$*" >> ${log}\necho active\nexit ${systemctl}\n`);
    chmodSync(join(tools, 'systemctl'), 0o755);
  }
  const env = [`PATH=${tools}`, `XDG_CONFIG_HOME=${config}`, `BLOCKFERRY_STATE=${state}`];
  return {
    ...{ folder, unit: join(config, 'systemd', 'user', 'blockferry.service') },
    run: (...args) => start(folder, ['/usr/bin/env', ...env, process.execPath, MAIN, 'service', ...args]).ended,
    asked: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}

test.for([
  { kind: '--system', args: [] },
  { kind: '--system', args: ['--run-as', 'daemon', '--http', '127.0.0.1:7422', '--memory', '2GiB'] },
  { kind: '--user', args: [] },
])('systemd finds nothing wrong with the unit of $kind $args', async ({ kind, args }, context) => {
  needsCommands(context, 'systemd-analyze');
  const { folder, run } = await host();
  // What a unit must quote, and what it would take for a specifier or a variable.
  const odd = join(folder, 'a "folder" of 100 %h and $HOME\\');
  mkdirSync(odd);
  const { exitCode, out } = await run('install', kind, '--dry-run', '--write', odd, '--state', odd, ...args);
  context.expect(exitCode).toBe(0);
  const file = join(folder, 'blockferry.service');
  writeFileSync(file, out);
  const mode = kind === '--user' ? ['--user'] : [];
  const env = { ...process.env, XDG_RUNTIME_DIR: folder };
  const verified = spawnSync('systemd-analyze', [...mode, '--man=no', 'verify', file], { encoding: 'utf8', env });
  const ours = verified.stderr.split('\n').filter((line) => line.includes(file) || line.includes('blockferry.service'));
  context.expect([verified.status, ours]).toEqual([0, []]);
});

test('the service of the machine may write where it was told, and has few other rights', async (context) => {
  const { folder, run } = await host();
  const { exitCode, out } = await run('install', '--system', '--dry-run', '--write', folder);
  expect(exitCode).toBe(0);
  const lines = out.split('\n');
  for (const line of [
    'StateDirectory=blockferry',
    `ReadWritePaths=${folder}`,
    'ProtectSystem=strict',
    'NoNewPrivileges=yes',
    'PrivateTmp=yes',
    'PrivateDevices=yes',
    'CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER',
    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
    'MemoryMax=1073741824',
    `ExecStart=${process.execPath} ${MAIN} serve --state /var/lib/blockferry`,
  ]) {
    expect(lines).toContain(line);
  }
  expect(existsSync('/etc/systemd/system/blockferry.service')).toBe(false);
  needsCommands(context, 'systemd-analyze');
  const file = join(folder, 'blockferry.service');
  writeFileSync(file, out);
  // 10 is a service that nothing holds back.
  const options = ['security', '--offline=true', '--threshold=30', '--no-pager', file];
  const { status, stdout } = spawnSync('systemd-analyze', options, { encoding: 'utf8' });
  expect([status, stdout.match(/exposure level.*/i)?.[0]]).toEqual([0, expect.stringContaining('OK')]);
});

test('a service of a user is written, enabled and started, and removed again with its jobs kept', async () => {
  const { folder, unit, run, asked } = await host(0);
  const installed = await run('install', '--user', '--write', folder);
  expect(installed).toMatchObject({ exitCode: 0, out: `${unit} is written, and the service is started\n`, err: '' });
  const text = readFileSync(unit, 'utf8');
  expect(text).toContain(`ReadWritePaths=${join(folder, 'state')} ${folder}\n`);
  expect(text).toContain('WantedBy=default.target');
  // A user's systemd cannot take these away, and would start nothing.
  expect(text).not.toMatch(/Capability|PrivateDevices|ProtectKernelModules|ProtectClock|^User=/m);
  expect(statSync(join(folder, 'state')).mode & 0o777).toBe(0o700);
  expect(asked().slice(1)).toEqual([
    '--user daemon-reload',
    '--user enable blockferry.service',
    '--user restart blockferry.service',
  ]);
  const removed = await run('uninstall', '--user');
  expect(removed).toMatchObject({ exitCode: 0, out: expect.stringContaining('jobs and state are kept') });
  expect(asked()).toContain('--user disable --now blockferry.service');
  expect([existsSync(unit), existsSync(join(folder, 'state'))]).toEqual([false, true]);
  expect(await run('uninstall', '--user')).toMatchObject({ exitCode: 0, err: expect.stringContaining('nothing was') });
});

test('where systemd does not run the unit is written all the same, and that is said', async () => {
  for (const systemctl of [undefined, 1]) {
    const { unit, run } = await host(systemctl);
    const { exitCode, out, err } = await run('install', '--user');
    expect([exitCode, out]).toEqual([0, `${unit} is written\n`]);
    expect(err).toContain('systemd does not run here');
    expect(err).toContain('install again with --write');
    expect(existsSync(unit)).toBe(true);
    expect((await run('uninstall', '--user')).exitCode).toBe(0);
    expect(existsSync(unit)).toBe(false);
  }
});

test('the status tells of the unit and of the service that answers', async () => {
  const control = await startTestControl();
  onTestFinished(() => control.stop());
  await control.service.create({ files: [{ source: '/a', target: '/b' }] }, { name: 'root', admin: true });
  const { run, unit } = await host(0);
  const { exitCode, out } = await run('status', '--user', '--state', control.folder);
  expect(exitCode).toBe(0);
  expect(out).toMatch(/^the service answers: version 1\.2\.3, since .*\n {2}jobs: 1 queued; you are .*administrator\n/);
  expect(out).toContain(`no unit is installed at ${unit}`);
  const away = await run('status', '--user', '--json');
  expect(away.exitCode).toBe(3);
  expect(JSON.parse(away.out)).toMatchObject({ type: 'service', answers: false, error: { code: 'E_NO_SERVICE' } });
});

test.each([
  [['install', '--user', '--system'], 'cannot be used with option'],
  [['install', '--user', '--write', 'missing'], '--write: missing cannot be looked at'],
  [['install', '--user', '--write', 'disk.img'], '--write: disk.img is no folder'],
  [['install', '--user', '--run-as', 'nobody'], 'for the service of the machine'],
  [['install', '--system', '--dry-run', '--device', 'disk.img'], '--device: disk.img is no device'],
  [['install', '--system', '--dry-run', '--run-as', 'a\nb'], '--run-as'],
  [['install', '--user', '--memory', 'much'], '--memory: cannot read'],
])('service %j is refused, and nothing is written', async (args, said) => {
  const { unit, run } = await host();
  expect(await run(...args)).toMatchObject({ exitCode: 2, err: expect.stringContaining(said) });
  expect(existsSync(unit)).toBe(false);
});
