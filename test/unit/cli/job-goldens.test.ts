import stringWidth from 'string-width';
import { expect, test } from 'vitest';
import { jobTable } from '../../../src/cli/render/job-table.js';
import { infoLines, jobLine, settledLines, whyText } from '../../../src/cli/render/job-text.js';
import { wrapped } from '../../../src/cli/render/paragraph.js';
import { timeLines } from '../../../src/cli/render/time-text.js';
import { GiB, MiB } from '../../../src/core/units.js';
import type { WholeJobView } from '../../../src/daemon/client.js';
import { sampleJob } from '../../support/sample-jobs.js';

const jobs: readonly WholeJobView[] = [
  sampleJob({ name: 'nightly', state: 'transferring', reason: 'copying', progress: { bytesDone: 430 * MiB } }),
  sampleJob({
    ...{ id: '7c0e55d1-0000-4000-8000-000000000002', name: 'exchange server of the year 2019, data', priority: 'low' },
    ...{ state: 'queued', reason: '4 jobs run at once, and 3f2a91c0 is before it; the first place goes to high jobs' },
    progress: { bytesDone: 0, bytesTotal: 5120 * GiB, rateBytesPerSecond: 0 },
  }),
  sampleJob({
    ...{ id: 'a1b2c3d4-0000-4000-8000-000000000003', name: '日本語のディスク', priority: 'foreground' },
    ...{ state: 'transient-error', reason: 'https://host/disk.vhd: no answer for 30 s; tried again at 12:05:00Z' },
    error: { code: 'E_TIMEOUT', message: 'https://host/disk.vhd: no answer for 30 s' },
    ...{ retryAt: Date.UTC(2026, 0, 31, 12, 5), retries: 3 },
    progress: { bytesDone: 40 * GiB, bytesTotal: 400 * GiB, rateBytesPerSecond: 0 },
  }),
  sampleJob({
    ...{ id: 'ffffffff-0000-4000-8000-000000000004', name: 'a\x1b[31mb\nc', state: 'connecting', reason: 'looking' },
    progress: { bytesDone: 0, bytesTotal: undefined, rateBytesPerSecond: 0 },
  }),
  sampleJob({
    ...{
      id: '00000000-0000-4000-8000-000000000005',
      name: 'done',
      state: 'acknowledged',
      reason: '',
      autoComplete: true,
    },
    progress: { bytesDone: GiB, rateBytesPerSecond: 0, filesDone: 1 },
  }),
];
const [nightly, queued, away] = jobs as [WholeJobView, WholeJobView, WholeJobView];

const scenes: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    [40, 60, 80, 120, 200].map((columns) => [
      `job list at ${columns} columns`,
      jobTable(jobs, { columns, colour: false }),
    ]),
  ),
  'job list in a pipe': jobTable(jobs, { colour: false }),
  'job info': infoLines(nightly),
  'job info of a job that waits to try again': infoLines(away),
  'job resume': [jobLine(queued)],
  'job why': wrapped(
    whyText(
      {
        ...{ state: 'queued', rule: 'jobs-at-once', sentence: 'four jobs run at once, and all places are taken' },
        ...{ behind: [nightly.id, away.id], until: 90_000, hint: 'A foreground job does not wait for the others' },
      },
      'nightly',
      0,
    ),
    80,
  ),
  'where the time of a job went': timeLines(
    {
      ...{ from: 0, until: 750_000, spans: [] },
      total: { sourceRead: 9000, hash: 40, targetWrite: 30_960, windowLimit: 590_000, queue: 120_000 },
      behind: [
        { job: nightly.id, name: 'nightly', ms: 118_000, preempted: 1 },
        { ms: 2000, preempted: 0 },
        { job: away.id, ms: 1500, preempted: 3 },
      ],
    },
    80,
  ),
  'job watch, transferred': Object.values(settledLines({ ...nightly, state: 'transferred' })).flat(),
  'job watch, complete': Object.values(settledLines({ ...nightly, state: 'acknowledged' })).flat(),
  'job watch, cancelled': Object.values(
    settledLines({ ...nightly, state: 'cancelled', reason: 'root cancelled it' }),
  ).flat(),
};

test('what people see of jobs is what is written down', async () => {
  const page = Object.entries(scenes).map(([title, lines]) => [`--- ${title}`, '', ...lines, ''].join('\n'));
  await expect(page.join('\n')).toMatchFileSnapshot('../../goldens/jobs.txt');
});

test.each([33, 40, 57, 80, 99, 120, 200, 400])('at %i columns no line of the table is wider', (columns) => {
  for (const line of jobTable(jobs, { columns, colour: false })) expect(stringWidth(line)).toBeLessThanOrEqual(columns);
});

test('where the table is as narrow as can be, a name that fits is whole', () => {
  const short = ['suspended', 'transient-error'].map((state) => sampleJob({ name: 'own', state } as WholeJobView));
  expect(jobTable(short, { columns: 30, colour: false })[1]).toMatch(/ own +suspended$/);
});

test('a name cannot draw on the terminal', () => {
  for (const columns of [40, 80, 200])
    expect(jobTable(jobs, { columns, colour: false }).join('')).not.toContain('\x1b');
});

test('a paragraph keeps its words, and a long word has a line of its own', () => {
  expect(wrapped('one two three', 8)).toEqual(['one two', 'three']);
  expect(wrapped(`a ${'b'.repeat(20)} c`, 8)).toEqual(['a', 'b'.repeat(20), 'c']);
});
