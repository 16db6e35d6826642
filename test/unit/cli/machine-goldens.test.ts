import { expect, test } from 'vitest';
import { migrationLine, migrationLines, previewLines, stepLine } from '../../../src/cli/render/migration-text.js';
import { vmLines, vmTable } from '../../../src/cli/render/vm-text.js';
import type { StepEvent } from '../../../src/core/events.js';
import type { VmStatus } from '../../../src/migrate/vm.js';
import { FAKE_MIGRATION, FAKE_PREVIEW, fakePlan, fakeView } from '../../support/fake-migrations.js';

const plan = fakePlan({ paths: { folder: '/fast' }, maxBlackoutMs: 2000 });
const web: VmStatus = { vm: plan.vm, ownership: { state: 'here' }, state: 'running', pid: 4711 };
const gone: VmStatus = {
  vm: { ...plan.vm, id: 'ffffffff-0000-4000-8000-000000000004', name: 'a\x1b[31mb' },
  ownership: { state: 'gone', migration: FAKE_MIGRATION, to: 'vault' },
  state: 'off',
};
const step: StepEvent = {
  ...{ schema: 1, at: 0, type: 'step', step: 'shrink-delta', state: 'started', number: 5, steps: 14, round: 2 },
  ...{ source: 'local:web', target: 'local:/fast', reason: '40.0 MiB are copied first', predictedBlackoutMs: 2600 },
};
const error = { code: 'E_NO_SPACE', message: '/fast is full', hint: 'Make room.' } as const;

const scenes: Readonly<Record<string, readonly (string | undefined)[]>> = {
  'vm list': vmTable([web, gone]),
  'vm info': vmLines(web),
  'migrate plan': previewLines({ ...FAKE_PREVIEW, plan }),
  'migrate plan of a machine that is off': previewLines({ ...FAKE_PREVIEW, plan: { ...plan, running: false } }),
  'migrate status': [migrationLine(fakeView({ bytesDone: 2 ** 30, bytesTotal: 2 ** 32 }))],
  'migrate status web': migrationLines(fakeView({ prediction: FAKE_PREVIEW.prediction })),
  'migrate status of one that asks': migrationLines(fakeView({ state: 'asking', reason: 'it would take 3 s' })),
  'migrate status of one that failed': migrationLines(fakeView({ state: 'failed', reason: '/fast is full', error })),
  'migrate watch': [
    stepLine(step),
    stepLine({ ...step, state: 'failed', error }),
    stepLine({ ...step, state: 'progress' }),
  ],
};

test('what people see of machines and migrations is what is written down', async () => {
  const page = Object.entries(scenes).map(([title, lines]) => {
    return [`--- ${title}`, '', ...lines.filter((line) => line !== undefined), ''].join('\n');
  });
  await expect(page.join('\n')).toMatchFileSnapshot('../../goldens/machines.txt');
});

test('no line of them is wider than 80 columns, and no name draws on the terminal', () => {
  for (const line of Object.values(scenes).flat()) {
    expect((line ?? '').length).toBeLessThanOrEqual(80);
    expect(line ?? '').not.toContain('\x1b');
  }
});
