/** Machines whose guests notice, moved by a service that runs or by hand: how long no heartbeat came meanwhile. */
import { mkdirSync, statSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemClock } from '../src/core/clock.js';
import { TransferError } from '../src/core/errors.js';
import { MiB } from '../src/core/units.js';
import type { MigrationState, MigrationView } from '../src/migrate/migration-service.js';
import type { Receipt } from '../src/migrate/receipt-form.js';
import type { VmDescription } from '../src/migrate/vm.js';
import { type BuiltGuest, buildGuest, type Guest } from '../test/support/guest/noticing-guest.js';
import { TestHost } from '../test/support/guest/qemu-host.js';
import { type ServiceHost, startServiceHost } from '../test/support/service-host.js';
import { moveByHand } from './bare-move.js';
import { watchHeart } from './demo-qsm-heart.js';

/** What the guest writes after the snapshot, 4 KiB each; and the part of its disk in which it does. */
const RECORDS = 600;
const SLOTS = 16_384;
const MEMORY_BYTES = 128 * MiB;
const LOOK_MS = 20;

export interface Moved {
  /** From the last heartbeat at the source to the first at the target. */
  readonly gapSeconds: number;
  /** Of the overlay, as long as it is, and what it takes. */
  readonly deltaBytes: number;
  readonly deltaTaken: number;
}

export interface MovedByUs extends Moved {
  readonly predictedMs: number;
  readonly measuredMs: number;
  /** Of the blackout, by their names. */
  readonly stepsMs: Readonly<Record<string, number>>;
}

export class MovingScene {
  readonly #built: BuiltGuest;
  readonly #service: ServiceHost;
  readonly #host: TestHost;

  private constructor(built: BuiltGuest, service: ServiceHost, host: TestHost) {
    this.#built = built;
    this.#service = service;
    this.#host = host;
  }

  /** Or why there can be none here. */
  static async open(parent: string): Promise<MovingScene | string> {
    const built = buildGuest();
    if (typeof built === 'string') return built;
    const service = await startServiceHost();
    return new MovingScene(built, service, new TestHost(service.state, parent));
  }

  async close(): Promise<void> {
    await this.#host.close();
    await this.#service.stop();
  }

  async byUs(diskBytes: number): Promise<MovedByUs> {
    const { vm, guest, target } = await this.#begin(diskBytes);
    const { migrations } = this.#service.client;
    const { id } = await migrations.start({ vm: vm.id, paths: { folder: target }, prepareOnly: true });
    await this.#reaches(id, 'prepared');
    await write(guest);
    const overlay = (await this.#host.vms.get(vm.id)).vm.disks[0]?.chain.at(-1)?.path ?? '';
    const delta = sizesOf(overlay);
    const heart = watchHeart(guest, () => undefined);
    await migrations.cutover(id, { anyway: true });
    const { prediction, blackoutMs = Number.NaN } = await this.#reaches(id, 'done');
    await guest.goesOn(0);
    heart.stop();
    await this.#end(vm, guest);
    const predictedMs = prediction?.blackoutMs ?? Number.NaN;
    const stepsMs = stepsOf(await migrations.receipt(id));
    return { gapSeconds: heart.gapMs / 1000, ...delta, predictedMs, measuredMs: blackoutMs, stepsMs };
  }

  /** The same up to the blackout; {@link moveByHand} is all of that. */
  async byHand(diskBytes: number): Promise<Moved> {
    const { vm, guest, target } = await this.#begin(diskBytes);
    const { hypervisor, registry } = this.#host;
    const base = vm.disks[0]?.chain[0]?.path ?? '';
    const overlay = join(dirname(base), 'd0.overlay');
    const now = await hypervisor.snapshot(vm, [{ disk: 'd0', path: overlay }]);
    mkdirSync(target);
    await copyFile(base, join(target, basename(base)));
    await write(guest);
    const delta = sizesOf(overlay);
    const heart = watchHeart(guest, () => undefined);
    const there = await moveByHand({ vm: now, from: registry.folderOf(vm.id), to: target });
    const { beats } = heart;
    while (heart.beats < beats + 2) await systemClock.sleep(LOOK_MS);
    heart.stop();
    await there.kill();
    await hypervisor.stop(vm);
    return { gapSeconds: heart.gapMs / 1000, ...delta };
  }

  /** A guest that rests, of a machine with one raw disk, mostly a hole. */
  async #begin(diskBytes: number): Promise<{ vm: VmDescription; guest: Guest; target: string }> {
    const wish = { diskBytes, memoryBytes: MEMORY_BYTES, slots: SLOTS };
    const vm = await this.#host.machine(this.#built, [['raw']], wish);
    const guest = this.#host.guest(vm);
    await this.#host.hypervisor.start(vm);
    await guest.reaches(RECORDS);
    await guest.rest();
    return { vm, guest, target: join(this.#host.folder, `${vm.id}-there`) };
  }

  async #end(vm: VmDescription, guest: Guest): Promise<void> {
    const inside = await guest.verify();
    await this.#host.hypervisor.stop(vm);
    if (inside.every(({ wrong }) => wrong === 0)) return;
    throw new TransferError('E_INTEGRITY', 'the guest has found records that it did not write', { hint: guest.said });
  }

  async #reaches(id: string, state: MigrationState): Promise<MigrationView> {
    for (;;) {
      const view = await this.#service.client.migrations.get(id);
      if (view.state === state) return view;
      if (view.error) throw TransferError.fromJSON(view.error);
      await systemClock.sleep(LOOK_MS);
    }
  }
}

function stepsOf({ steps }: Receipt): Record<string, number> {
  const [first, last] = ['save-state', 'resume'].map((name) => steps.findIndex(({ step }) => step === name));
  const dark = steps.slice(first, (last ?? -1) + 1);
  return Object.fromEntries(dark.map(({ step, startedAt, doneAt }) => [step, doneAt - startedAt]));
}

async function write(guest: Guest): Promise<void> {
  await guest.work();
  await guest.goesOn(RECORDS);
  await guest.rest();
}

function sizesOf(path: string): Pick<Moved, 'deltaBytes' | 'deltaTaken'> {
  const { size, blocks } = statSync(path);
  return { deltaBytes: size, deltaTaken: blocks * 512 };
}
