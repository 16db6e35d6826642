/** Migrations for tests: guests that are not real on real files, which real jobs of a real service copy. */
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { performerParts } from '../../src/compose.js';
import { type Clock, systemClock } from '../../src/core/clock.js';
import { KiB } from '../../src/core/units.js';
import { LocalFiles, type LocalFilesParts } from '../../src/migrate/local-files.js';
import type { MigrationEnd } from '../../src/migrate/migration-end.js';
import type { MigrationTold, MigrationView } from '../../src/migrate/migration-service.js';
import { Migrations } from '../../src/migrate/migrations.js';
import type { VmDescription } from '../../src/migrate/vm.js';
import type { Policy } from '../../src/service/policy/policy.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { Performer } from '../../src/transfer/perform.js';
import { makeFile, scratchFolder } from './copying.js';
import { FakeWorld } from './fake-hosts.js';
import { makeOverlay, repointOverlay } from './fake-images.js';
import { Shelf } from './memory-store.js';
import { type TestService, testService } from './services.js';

/** Of a base: what guests write to, and more behind it. */
export const BASE_BYTES = 300 * KiB;

export class FakeFiles extends LocalFiles {
  override async repoint(image: string, parent: string): Promise<void> {
    repointOverlay(image, parent);
  }
}

/** Small files need no threads, and threads take longer to start than these tests to end. */
export async function inlineRunner(): Promise<InlineRunner> {
  return new InlineRunner(new Performer(await performerParts()));
}

export interface VmWish {
  readonly name?: string;
  readonly disks?: number;
  /** Overlays that each disk has already. */
  readonly snapshots?: number;
  readonly baseBytes?: number;
}

/** A machine with images of its own in the folder. */
export function makeVm(folder: string, wish: VmWish = {}): VmDescription {
  const { name = 'web', disks = 2, snapshots = 0, baseBytes = BASE_BYTES } = wish;
  mkdirSync(folder, { recursive: true });
  const made = Array.from({ length: disks }, (_, number) => {
    const base = join(folder, `${name}-d${number}.img`);
    makeFile(base, baseBytes, base);
    const chain = [{ path: base, format: 'raw' as const }];
    for (let snapshot = 1; snapshot <= snapshots; snapshot++) {
      const path = join(folder, `${name}-d${number}-${snapshot}.old`);
      makeOverlay(path, chain.at(-1)?.path ?? '');
      chain.push({ path, format: 'raw' });
    }
    return { id: `d${number}`, sizeBytes: baseBytes, chain, address: `0x${number + 4}` };
  });
  return {
    ...{ schema: 1, id: randomUUID(), name, machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
    ...{ memoryBytes: 1 << 20, disks: made, networks: [] },
  };
}

export interface Scene {
  readonly world: FakeWorld;
  readonly source: string;
  readonly target: string;
  readonly state: string;
  readonly vm: VmDescription;
  readonly service: TestService;
  readonly told: MigrationTold[];
  readonly notes: string[];
  readonly migrations: Migrations;
  readonly files: FakeFiles;
  /** The same migrations in another process, as far as they can tell. */
  open(): Promise<Migrations>;
}

export interface SceneWish extends VmWish {
  readonly off?: boolean;
  readonly policy?: Partial<Policy>;
  readonly target?: string;
  readonly newFiles?: (parts: LocalFilesParts) => FakeFiles;
  readonly clock?: Clock;
}

export async function scene(wish: SceneWish = {}): Promise<Scene> {
  const { off = false, policy = {}, clock = systemClock, newFiles = (parts) => new FakeFiles(parts) } = wish;
  const [source, state] = [scratchFolder(), scratchFolder()];
  const target = wish.target ?? join(scratchFolder(), 'there');
  const world = new FakeWorld();
  const vm = makeVm(join(source, 'vm'), wish);
  world.host('local').add(vm, !off);
  world.run();
  const service = await testService(new Shelf(), policy, { newRunner: inlineRunner });
  const [told, notes]: [MigrationTold[], string[]] = [[], []];
  const files = newFiles({ newRunner: inlineRunner, clock, random: () => 0 });
  onTestFinished(async () => {
    await world.stop();
    await files.close();
    expect(world.violations).toEqual([]);
  });
  const end = (name: string): MigrationEnd => {
    const host = world.host(name === 'local' ? 'local' : 'other');
    return { name, host, hypervisor: host, files };
  };
  const open = async (): Promise<Migrations> => {
    const migrations = await Migrations.open({
      ...{ state, jobs: service.service, end, clock, note: (sentence) => notes.push(sentence) },
    });
    const stop = new AbortController();
    const listening = listen(migrations, told, stop.signal);
    onTestFinished(async () => {
      await migrations.close();
      stop.abort();
      await listening;
    });
    return migrations;
  };
  return { world, source, target, state, vm, service, told, notes, files, migrations: await open(), open };
}

async function listen(migrations: Migrations, told: MigrationTold[], signal: AbortSignal): Promise<void> {
  for await (const one of migrations.events({ after: 0 }, signal)) told.push(one);
}

/** The next such call of that name waits: `reached` resolves when it is made, and `release` lets it go on. */
export function gate<K extends string>(
  on: Partial<Record<K, unknown>>,
  name: K,
  such: (...args: unknown[]) => boolean = () => true,
): { readonly reached: Promise<void>; release(): void } {
  const original = on[name] as (...args: unknown[]) => Promise<unknown>;
  let [reach, release] = [(): void => undefined, (): void => undefined];
  const reached = new Promise<void>((resolve) => {
    reach = resolve;
  });
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  on[name] = async (...args: unknown[]) => {
    if (!such(...args)) return original.apply(on, args);
    on[name] = original;
    reach();
    await released;
    return original.apply(on, args);
  };
  return { reached, release: () => release() };
}

/** The machine runs on that host alone, with all that its guest was told is written. */
export function expectRuns({ world, vm }: Pick<Scene, 'world' | 'vm'>, host: string, bootId?: string): void {
  const guests = world.guests(vm.id);
  expect(guests.map(({ state }) => state)).toEqual(['running']);
  const [guest] = world.host(host).guestsOf(vm.id);
  expect(guest?.wrong()).toEqual([]);
  if (bootId !== undefined) expect(guest?.bootId).toBe(bootId);
}

/** It is at the target and nowhere else, in one image for each that it had. */
export async function expectMigrated(at: Scene, view: MigrationView, host = 'local'): Promise<void> {
  expect(view).toMatchObject({ state: 'done', switchedOver: true });
  const { vm } = await at.world.host(host).get(at.vm.id);
  expect(vm.disks.map(({ chain }) => chain.length)).toEqual(at.vm.disks.map(({ chain }) => chain.length));
  expect(filesIn(at.target)).toEqual(
    at.vm.disks.flatMap(({ chain }) => chain.map(({ path }) => path.split('/').at(-1))).sort(),
  );
}

export function filesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}
