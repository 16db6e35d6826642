/** Migrations in memory that move nothing: each is where a test puts it. For what stands in front of them. */
import { TransferError } from '../../src/core/errors.js';
import type { StepEvent } from '../../src/core/events.js';
import type { MigrationPlan } from '../../src/migrate/migration-plan.js';
import type {
  CutoverOptions,
  MigrationPreview,
  MigrationRequest,
  MigrationService,
  MigrationTold,
  MigrationView,
} from '../../src/migrate/migration-service.js';
import type { Receipt } from '../../src/migrate/receipt-form.js';
import { STEPS } from '../../src/migrate/steps.js';

const MIB = 1024 * 1024;
export const FAKE_MIGRATION = '3f2a91c0-0000-4000-8000-000000000001';
export const FAKE_VM = '5f0c1a2b-7d31-4c06-9a55-b10cfe221900';

export function fakePlan({ paths, keepSource = false, maxBlackoutMs }: Omit<MigrationRequest, 'vm'>): MigrationPlan {
  const target = paths.folder ?? '/fast';
  const chain = [{ path: '/slow/web.vhdx', format: 'vhdx' }] as const;
  return {
    ...{ schema: 1, id: FAKE_MIGRATION, createdAt: 0, running: true, from: 'local', to: 'local', keepSource },
    vm: {
      ...{ schema: 1, id: FAKE_VM, name: 'web', machine: 'pc-i440fx-7.2', accelerator: 'tcg', cpu: 'qemu64', cpus: 1 },
      ...{ memoryBytes: 128 * MIB, disks: [{ id: 'd0', sizeBytes: 8192 * MIB, address: '0x4', chain }], networks: [] },
    },
    images: [{ disk: 'd0', format: 'vhdx', source: '/slow/web.vhdx', target: `${target}/web.vhdx` }],
    folders: { source: '/slow', target },
    diskFolders: { d0: target },
    ...(maxBlackoutMs !== undefined && { maxBlackoutMs }),
    prepareOnly: false,
  };
}

export function fakeView(change: Partial<MigrationView> = {}): MigrationView {
  return {
    ...{ id: FAKE_MIGRATION, vm: FAKE_VM, vmName: 'web', state: 'running', reason: 'it is carried out' },
    ...{ step: 'copy-bases', stepsDone: STEPS.slice(0, 3), steps: [], rounds: 1, switchedOver: false },
    plan: fakePlan({ paths: { folder: '/fast' } }),
    ...change,
  };
}

export const FAKE_PREVIEW: Omit<MigrationPreview, 'plan'> = {
  problems: [],
  bytes: 4096 * MIB,
  images: [{ disk: 'd0', format: 'vhdx', source: '/slow/web.vhdx', target: '/fast/web.vhdx', bytes: 4096 * MIB }],
  prediction: {
    ...{ blackoutMs: 1400, leastMs: 1400, roundMs: 400, nextDeltaBytes: 0 },
    ...{ deltaBytes: 0, memoryBytes: 144 * MIB, memoryIsCopied: false, deltaBytesPerSecond: 0 },
  },
};

export class FakeMigrations implements MigrationService {
  views: MigrationView[] = [];
  told: MigrationTold[] = [];
  problems: readonly string[] = [];
  receipts: Receipt[] = [];
  /** What was asked for, in turn. */
  readonly asked: object[] = [];

  /** What the next call is refused with. */
  refusal: TransferError | undefined;
  readonly #listeners = new Set<() => void>();

  async plan(request: MigrationRequest): Promise<MigrationPreview> {
    this.#refuse();
    this.asked.push(request);
    const plan = fakePlan(request);
    const images = plan.images.map((image) => ({ ...image, bytes: FAKE_PREVIEW.bytes }));
    return { ...FAKE_PREVIEW, problems: this.problems, plan, images };
  }

  /** It is so from now on, and whoever listens hears of it. */
  put(view: MigrationView, event: Partial<StepEvent> = {}): void {
    const others = this.views.filter(({ id }) => id !== view.id);
    this.views = [...others, view];
    const step = event.step ?? view.step ?? 'release';
    const about = { step, state: 'started', number: STEPS.indexOf(step) + 1, steps: STEPS.length } as const;
    const ends = { source: 'local:web', target: 'local:/fast', reason: view.reason };
    this.tell({ schema: 1, at: Date.now(), type: 'step', ...about, ...ends, ...event }, view.id);
  }

  tell(event: MigrationTold['event'], migration = FAKE_MIGRATION): void {
    this.told.push({ id: (this.told.at(-1)?.id ?? 0) + 1, migration, event });
    for (const wake of [...this.#listeners]) wake();
  }

  async start(request: MigrationRequest): Promise<MigrationView> {
    return this.#begun({ start: request }, request);
  }

  async prepare(request: MigrationRequest): Promise<MigrationView> {
    return this.#begun({ prepare: request }, request);
  }

  async cutover(id: string, options: CutoverOptions = {}): Promise<MigrationView> {
    this.#refuse();
    this.asked.push({ cutover: id, ...options });
    return this.get(id);
  }

  async abort(id: string): Promise<MigrationView> {
    this.#refuse();
    this.asked.push({ abort: id });
    this.views = this.views.map((view) => (view.id === id ? { ...view, state: 'aborted', reason: 'as asked' } : view));
    return this.get(id);
  }

  get(id: string): MigrationView {
    const found = this.views.find((view) => view.id === id);
    if (found) return found;
    throw new TransferError('E_NO_MIGRATION', `there is no migration ${id}`);
  }

  list(): readonly MigrationView[] {
    return this.views;
  }

  async settled(id: string): Promise<MigrationView> {
    return this.get(id);
  }

  async *events(about: { after?: number; migration?: string }, signal: AbortSignal): AsyncGenerator<MigrationTold> {
    let seen = about.after ?? this.told.at(-1)?.id ?? 0;
    while (!signal.aborted) {
      const fresh = this.told.filter(({ id }) => id > seen);
      for (const told of fresh) {
        seen = told.id;
        if (about.migration === undefined || told.migration === about.migration) yield told;
      }
      if (fresh.length === 0) await this.#next(signal);
    }
  }

  #next(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(done);
        resolve();
      };
      this.#listeners.add(done);
      signal.addEventListener('abort', done, { once: true });
      if (signal.aborted) done();
    });
  }

  #refuse(): void {
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
  }

  receipt(): Receipt | undefined {
    return this.receipts[0];
  }

  async close(): Promise<void> {
    this.views = [];
  }

  #begun(asked: object, request: MigrationRequest): MigrationView {
    this.#refuse();
    this.asked.push(asked);
    const view = fakeView({ plan: fakePlan(request), state: 'queued', stepsDone: [], step: 'check', rounds: 0 });
    this.views = [...this.views.filter(({ id }) => id !== view.id), view];
    return view;
  }
}
