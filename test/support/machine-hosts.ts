/** Two hosts with machines, each a process with a daemon of its own; their guests are here, and see all of it. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { TransferError } from '../../src/core/errors.js';
import type { Overlay, SavedState } from '../../src/migrate/hypervisor.js';
import type { LocalHost } from '../../src/migrate/local-host.js';
import type { MigrationRequest, MigrationService, MigrationView } from '../../src/migrate/migration-service.js';
import type { VmDescription, VmStatus } from '../../src/migrate/vm.js';
import { scratchFolder } from './copying.js';
import { FakeGuest, GUEST_SECTORS } from './fake-guest.js';
import { makeOverlay, mergeSectors, repointOverlay } from './fake-images.js';

const CHILD = fileURLToPath(new URL('./machine-host-child.mjs', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/src/cli/main.js', import.meta.url));
const TICK_MS = 3;
const MEMORY_BYTES = 20_000;

/** The hypervisors of all hosts: a machine that runs on two of them is seen. */
export class Guests {
  readonly hosts = new Map<string, Map<string, FakeGuest>>();
  readonly violations: string[] = [];
  readonly #ticking: Promise<void>;
  #stopped = false;

  constructor() {
    this.#ticking = (async () => {
      while (!this.#stopped) {
        for (const guest of this.all()) guest.tick();
        await systemClock.sleep(TICK_MS);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#ticking;
    expect(this.violations).toEqual([]);
  }

  all(): FakeGuest[] {
    return [...this.hosts.values()].flatMap((guests) => [...guests.values()]);
  }

  on(host: string): Map<string, FakeGuest> {
    const guests = this.hosts.get(host) ?? new Map<string, FakeGuest>();
    this.hosts.set(host, guests);
    return guests;
  }

  /** What a host asks of its hypervisor. */
  deeds(host: string): Readonly<Record<string, (...args: never[]) => unknown>> {
    const guests = this.on(host);
    const of = ({ id, name }: VmDescription): FakeGuest => {
      const guest = guests.get(id);
      if (guest) return guest;
      throw new TransferError('E_VM_STATE', `${name} is off`);
    };
    return {
      facts: () => ({ hypervisor: 'fake 1', machines: ['pc-i440fx-7.2'] }),
      state: ({ id }: VmDescription) => guests.get(id)?.state ?? 'off',
      memoryInUse: () => MEMORY_BYTES,
      start: (vm: VmDescription, from?: SavedState) => {
        if (guests.has(vm.id)) return;
        if (from) assertState(from);
        guests.set(vm.id, from ? FakeGuest.load(vm, from.path) : FakeGuest.boot(vm));
        this.#look(vm.id);
      },
      stop: ({ id }: VmDescription) => void guests.delete(id),
      resume: (vm: VmDescription) => this.#go(of(vm)),
      discardState: (vm: VmDescription) => this.#go(of(vm)),
      saveState: (vm: VmDescription, path: string) => of(vm).save(path, MEMORY_BYTES),
      snapshot: (vm: VmDescription, overlays: readonly Overlay[]) => withOverlays(of(vm), vm, overlays),
      merge: (vm: VmDescription, into: readonly { disk: string; into: string }[]) => merged(of(vm), vm, into),
      repoint: (image: string, parent: string) => repointOverlay(image, parent),
    };
  }

  #go(guest: FakeGuest): void {
    guest.state = 'running';
    this.#look(guest.vm.id);
  }

  #look(id: string): void {
    const running = this.all().filter(({ vm, state }) => vm.id === id && state === 'running');
    if (running.length > 1) this.violations.push(`${id} runs ${running.length} times`);
  }
}

function assertState({ path, sha256 }: SavedState): void {
  const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
  if (createHash('sha256').update(bytes).digest('hex') === sha256) return;
  throw new TransferError('E_INTEGRITY', `${path} is not the memory that was saved`);
}

function withOverlays(guest: FakeGuest, vm: VmDescription, overlays: readonly Overlay[]): VmDescription {
  const has = (path: string): boolean => vm.disks.some(({ chain }) => chain.some((one) => one.path === path));
  if (overlays.every(({ path }) => has(path))) return vm;
  const disks = vm.disks.map((disk) => {
    const path = overlays.find((overlay) => overlay.disk === disk.id)?.path ?? '';
    makeOverlay(path, disk.chain.at(-1)?.path ?? '');
    return { ...disk, chain: [...disk.chain, { path, format: 'qcow2' as const }] };
  });
  guest.vm = { ...vm, disks };
  return guest.vm;
}

function merged(guest: FakeGuest, vm: VmDescription, into: readonly { disk: string; into: string }[]): VmDescription {
  const gone: string[] = [];
  const disks = vm.disks.map((disk) => {
    const at = disk.chain.findIndex(({ path }) => path === into.find((one) => one.disk === disk.id)?.into);
    const lower = disk.chain[at]?.path;
    if (lower === undefined) throw new TransferError('E_VM_STATE', `nothing to merge ${disk.id} into`);
    for (const { path } of disk.chain.slice(at + 1)) {
      mergeSectors(path, lower, GUEST_SECTORS);
      gone.push(path);
    }
    return { ...disk, chain: disk.chain.slice(0, at + 1) };
  });
  guest.vm = { ...vm, disks };
  for (const path of gone) rmSync(path);
  return guest.vm;
}

export interface HostWish {
  /** Put in front of its command, as for a network namespace. */
  readonly prefix?: readonly string[];
  readonly address?: string;
}

/** A host that can be killed and started again. */
export class MachineHost {
  readonly state = scratchFolder();
  readonly root = join(scratchFolder(), 'images');
  readonly name: string;
  readonly #guests: Guests;
  readonly #wish: HostWish;
  #child: ChildProcess | undefined;
  #port = 0;
  #pin = '';
  #asked = 0;
  readonly #waiting = new Map<number, { resolve: (value: never) => void; reject: (error: Error) => void }>();

  private constructor(name: string, guests: Guests, wish: HostWish) {
    this.name = name;
    this.#guests = guests;
    this.#wish = wish;
    mkdirSync(this.root);
  }

  static async start(name: string, guests: Guests, wish: HostWish = {}): Promise<MachineHost> {
    const host = new MachineHost(name, guests, wish);
    // Before the folders of the test go.
    onTestFinished(async () => {
      await host.kill();
      await guests.stop();
    });
    await host.start();
    return host;
  }

  get port(): number {
    return this.#port;
  }

  get pin(): string {
    return this.#pin;
  }

  /** @param killAt a call of another host: when it has been carried out, and is not answered yet, this is killed */
  async start(killAt?: string): Promise<void> {
    const { prefix = [], address = '127.0.0.1' } = this.#wish;
    const about = JSON.stringify({ state: this.state, root: this.root, host: address, port: this.#port, killAt });
    const [command = '', ...args] = [...prefix, process.execPath, CHILD, about];
    const env = { ...process.env, BLOCKFERRY_STATE: this.state };
    const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    this.#child = child;
    const deeds = this.#guests.deeds(this.name);
    const ready = new Promise<void>((resolve, reject) => {
      child.once('exit', () => reject(new Error(`the host ${this.name} ended`)));
      child.on('message', (message: Said) => {
        if ('port' in message) {
          [this.#port, this.#pin] = [message.port, message.pin];
          resolve();
        } else if ('ask' in message) void answer(child, deeds, message);
        else this.#take(message);
      });
    });
    child.once('exit', () => this.#lose());
    await ready;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Resolves when it has killed itself. */
  async died(): Promise<void> {
    const child = this.#child;
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }

  ask<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    const ask = ++this.#asked;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(ask, { resolve: resolve as (value: never) => void, reject });
      this.#child?.send({ ask, name, args });
    });
  }

  onHost<T>(name: keyof LocalHost, ...args: readonly unknown[]): Promise<T> {
    return this.ask('host', name, args);
  }

  get(id: string): Promise<VmStatus> {
    return this.onHost('get', id);
  }

  migration(name: keyof MigrationService, ...args: readonly unknown[]): Promise<MigrationView> {
    return this.ask('migrations', name, args);
  }

  async move(request: MigrationRequest): Promise<MigrationView> {
    return this.migration('settled', (await this.migration('start', request)).id);
  }

  /** A token of this host; what `serve token add` prints. */
  token(name: string, ...args: readonly string[]): string {
    const env = { ...process.env, BLOCKFERRY_STATE: this.state };
    const stdio = ['ignore', 'pipe', 'ignore'] as ['ignore', 'pipe', 'ignore'];
    return execFileSync(process.execPath, [MAIN, 'serve', 'token', 'add', name, ...args], {
      ...{ env, stdio, encoding: 'utf8' },
    }).trim();
  }

  /** This one knows the other by its token and its certificate, at that port. */
  knows(other: MachineHost, { port = other.port, address = '127.0.0.1', token }: Known): string {
    const peers = { [`${address}:${port}`]: { token, pin: other.pin } };
    writeFileSync(join(this.state, 'peers.json'), JSON.stringify(peers), { mode: 0o600 });
    return `peer://${address}:${port}`;
  }

  #take({ reply, value, error }: Extract<Said, { readonly reply: number }>): void {
    const waiting = this.#waiting.get(reply);
    this.#waiting.delete(reply);
    if (error) waiting?.reject(TransferError.fromJSON(error));
    else waiting?.resolve(value as never);
  }

  #lose(): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(`the host ${this.name} was killed`));
    this.#waiting.clear();
  }
}

interface Known {
  readonly port?: number;
  readonly address?: string;
  readonly token: string;
}

type Said =
  | { readonly port: number; readonly pin: string }
  | { readonly ask: number; readonly name: string; readonly args: never[] }
  | { readonly reply: number; readonly value?: unknown; readonly error?: Parameters<typeof TransferError.fromJSON>[0] };

async function answer(
  child: ChildProcess,
  deeds: ReturnType<Guests['deeds']>,
  { ask, name, args }: Extract<Said, { readonly ask: number }>,
): Promise<void> {
  const reply = { reply: ask } as { reply: number; value?: unknown; error?: unknown };
  try {
    reply.value = await deeds[name]?.(...args);
  } catch (thrown) {
    reply.error = TransferError.from(thrown).toJSON();
  }
  if (child.connected) child.send(reply, () => undefined);
}
