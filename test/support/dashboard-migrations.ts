/** The page before a service that moves machines: those of a host, and their migrations, each where a test puts it. */
import { TransferError } from '../../src/core/errors.js';
import type { MachineHost } from '../../src/daemon/control/machine-routes.js';
import type { MigrationState, MigrationView } from '../../src/migrate/migration-service.js';
import { STEPS, type Step } from '../../src/migrate/steps.js';
import type { VmRunState, VmStatus } from '../../src/migrate/vm.js';
import { type Dashboard, startDashboard } from './dashboard.js';
import { FAKE_PREVIEW, FAKE_VM, FakeMigrations, fakePlan, fakeView } from './fake-migrations.js';
import { sampleVm } from './sample-vm.js';

const MINUTE_MS = 60_000;
const GIB = 1024 ** 3;
const PICTURED: readonly MigrationState[] = ['running', 'asking', 'failed', 'done'];
export const PEER = 'peer://vault.example.org:7421';

export class FakeMachines implements MachineHost {
  machines: VmStatus[] = [];
  refusal: TransferError | undefined;

  async list(): Promise<readonly VmStatus[]> {
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
    return this.machines;
  }

  peers(): readonly string[] {
    return [PEER];
  }
}

export interface MovingDashboard extends Dashboard {
  readonly machines: FakeMachines;
  readonly migrations: FakeMigrations;
}

export async function startMovingDashboard(): Promise<MovingDashboard> {
  const [machines, migrations] = [new FakeMachines(), new FakeMigrations()];
  return { ...(await startDashboard({ machines, migrations })), machines, migrations };
}

export function machine(number: number, name: string, disks = 1, state: VmRunState = 'running'): VmStatus {
  const id = `${FAKE_VM.slice(0, -3)}${String(number).padStart(3, '0')}`;
  const of = Array.from({ length: disks }, (_none, at) => ({
    ...{ id: `d${at}`, sizeBytes: 8 * GIB, address: `0x${at + 4}` },
    chain: [{ path: `/slow/${name.replace(/\W/g, '')}-d${at}.vhdx`, format: 'vhdx' as const }],
  }));
  return { vm: sampleVm({ id, name, memoryBytes: 2 * GIB, disks: of }), ownership: { state: 'here' }, state };
}

/** Done up to that step, a minute each. */
export function movingView(number: number, step: Step | undefined, change: Partial<MigrationView> = {}): MigrationView {
  const id = `3f2a91c0-0000-4000-8000-${String(number).padStart(12, '0')}`;
  const done = step === undefined ? [...STEPS] : STEPS.slice(0, STEPS.indexOf(step));
  const { step: _step, ...view } = fakeView();
  const first = Date.now() - 20 * MINUTE_MS;
  const plan = { ...fakePlan({ paths: { folder: '/fast' } }), id, createdAt: first };
  return {
    ...{ ...view, id, plan, ...(step !== undefined && { step, stepStartedAt: first + done.length * MINUTE_MS }) },
    stepsDone: done,
    steps: done.map((one, at) => {
      return { step: one, startedAt: first + at * MINUTE_MS, doneAt: first + (at + 0.7) * MINUTE_MS };
    }),
    ...change,
  };
}

/** One in each state, and the views with their headings: of the migrations those that look most unlike each other. */
export function movingScene({ machines, migrations }: MovingDashboard): Readonly<Record<string, string>> {
  machines.machines = [
    machine(1, 'web'),
    machine(2, 'mail, the old one', 2),
    machine(3, 'build-07', 1, 'off'),
    machine(4, 'desktop of the second floor', 1, 'io-error'),
  ];
  const { prediction } = FAKE_PREVIEW;
  const tooLong = { ...prediction, blackoutMs: 8200, leastMs: 6000 };
  const full = new TransferError('E_NO_SPACE', '/fast is full: 12.0 GiB are needed, and 3.0 GiB are free', {
    hint: 'Make room there; then start the cutover again.',
  });
  const limit = fakePlan({ paths: { folder: '/fast' }, maxBlackoutMs: 2000 });
  const asks = 'it would stand still for 8.2 s, and 2.0 s at most were allowed: its 144 MiB of memory alone take 6.0 s';
  migrations.views = [
    movingView(1, 'copy-bases', { vmName: 'web', bytesDone: 3 * GIB, bytesTotal: 8 * GIB, reason: 'it is copied' }),
    movingView(2, 'shrink-delta', { vmName: 'mail', state: 'asking', reason: asks, prediction: tooLong, plan: limit }),
    movingView(3, 'check', {
      ...{ vmName: 'build-07', state: 'queued', stepsDone: [], steps: [] },
      reason: '10 migrations run, and 10 may at once (migrations_at_once); it is the next',
    }),
    movingView(4, 'prove', {
      vmName: 'database',
      state: 'failed',
      reason: full.message,
      error: full.toJSON(),
      prediction,
    }),
    movingView(5, undefined, {
      ...{ vmName: 'files', state: 'done', reason: 'files is at the target', prediction, blackoutMs: 1250 },
      switchedOver: true,
    }),
    movingView(6, 'copy-bases', { vmName: 'archive', state: 'aborted', reason: 'archive stays at the source' }),
    movingView(7, 'shrink-delta', { vmName: 'desktop', state: 'prepared', reason: 'all is copied', prediction }),
  ];
  return {
    Migrations: '#/migrations',
    'Move a machine': '#/migrations/new',
    ...Object.fromEntries(
      migrations.views
        .filter(({ state }) => PICTURED.includes(state))
        .map(({ vmName, id }) => [vmName, `#/migrations/${id}`]),
    ),
  };
}
