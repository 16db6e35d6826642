/** What a page looks like to those who see it badly or not at all; and something for each of its views to show. */
import type { Page } from 'playwright-core';
import { addedTimes, type Cause, type TimeByCause } from '../../src/core/causes.js';
import type { TimeView } from '../../src/service/job-service.js';
import { CHUNK_STATES, type ChunkState } from '../../src/transfer/chunk-map.js';
import { ALICE, type Dashboard, GiB, makeJob } from './dashboard.js';

/** Controls and pictures that a screen reader would have no name for. */
export function namelessControls(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const named = (one: HTMLElement): boolean => {
      const labels = (one as HTMLInputElement).labels ?? [];
      const texts = [one.getAttribute('aria-label'), one.textContent, ...[...labels].map((label) => label.textContent)];
      return texts.some((text) => (text ?? '').trim() !== '');
    };
    const controls = [...document.querySelectorAll<HTMLElement>('a, button, input, select, progress, [role=img]')];
    const seen = [...controls, ...document.querySelectorAll<HTMLElement>('textarea')].filter((one) =>
      one.checkVisibility(),
    );
    return seen.filter((one) => !named(one)).map((one) => one.outerHTML.slice(0, 120));
  });
}

/** Texts whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3); of what cannot be used now none is asked. */
export function faintTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const numbers = (colour: string): number[] => colour.match(/[\d.]+/g)?.map(Number) ?? [];
    const light = (colour: string): number => {
      const [red = 0, green = 0, blue = 0] = numbers(colour).map((value) => {
        const share = value / 255;
        return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const behind = (element: Element | null): string => {
      if (!element) return 'rgb(255, 255, 255)';
      const colour = getComputedStyle(element).backgroundColor;
      return numbers(colour)[3] === 0 ? behind(element.parentElement) : colour;
    };
    const faint: string[] = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const owner = text.parentElement;
      if (!owner?.checkVisibility({ visibilityProperty: true }) || owner.closest(':disabled, .skip, .unseen')) continue;
      if ((text.textContent ?? '').trim() === '' || owner.closest('svg, option')) continue;
      const [one, other] = [light(getComputedStyle(owner).color), light(behind(owner))];
      const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
      if (contrast < 4.5) faint.push(`${contrast.toFixed(2)}: ${text.textContent}`);
    }
    return faint;
  });
}

/** Jobs in every state, and the views with their headings. */
export async function sceneOf({ control }: Dashboard): Promise<Readonly<Record<string, string>>> {
  const { service } = control;
  service.fileBytes = 40 * GiB;
  const mail = await makeJob(control, 'mail server, nightly', { priority: 'high' }, 2);
  service.move(mail.id, 'transferring', { reason: 'held back by its limit of 200 MiB/s' });
  service.copied(mail.id, { bytes: 2 * GiB, file: 1 });
  service.copied(mail.id, { bytes: 27 * GiB, reused: 6 * GiB, zero: 3 * GiB, rateBytesPerSecond: 199 * 1024 ** 2 });
  service.map(mail.id, 0, mapOf(900));
  service.spent(mail.id, sampleTime(Date.now(), 3_600_000));
  const build = await makeJob(control, 'build-07 to the new storage', { priority: 'foreground' });
  service.move(build.id, 'transferring', { reason: 'as fast as its target writes' });
  service.copied(build.id, { bytes: 33 * GiB, rateBytesPerSecond: 410 * 1024 ** 2 });
  const web = await makeJob(control, 'web-01');
  service.move(web.id, 'transient-error', { reason: 'vault.example.org does not answer; the next try is at 14:32' });
  const weekly = await makeJob(control, 'database, weekly');
  service.copied(weekly.id, { bytes: 40 * GiB });
  service.move(weekly.id, 'transferred', { reason: 'all files are transferred; it waits for complete' });
  const old = await makeJob(control, 'old file server');
  const changed = { code: 'E_SOURCE_CHANGED', message: 'the source was changed while it was copied' } as const;
  service.move(old.id, 'error', { reason: changed.message, error: changed });
  const gone = await makeJob(control, 'not needed any more');
  await service.cancel(gone.id, { keepPartial: false }, ALICE);
  await makeJob(control, 'archive of last year', { priority: 'low', suspended: true });
  for (let number = 10; number < 16; number++) await makeJob(control, `desktop-${number}`, { priority: 'low' });
  return { Jobs: '#/jobs', 'mail server, nightly': `#/job/${mail.id}`, 'New job': '#/new', Policy: '#/policy' };
}

/** A job that waited, was copied, gave way, went on under a limit, failed and goes on: so long until `until`. */
export function sampleTime(until: number, ms: number, behind: TimeView['behind'] = []): TimeView {
  const span = (share: number, ...parts: readonly (readonly [Cause, number])[]): TimeByCause =>
    Object.fromEntries(parts.map(([cause, part]) => [cause, part * share * ms]));
  const copying = [
    ['sourceRead', 0.3],
    ['hash', 0.1],
    ['targetWrite', 0.4],
    ['worker', 0.1],
    ['flush', 0.1],
  ] as const;
  const spans = [
    span(0.1, ['queue', 1]),
    span(0.02, ['opening', 1]),
    span(0.2, ...copying),
    span(0.08, ['queue', 1]),
    span(0.3, ['windowLimit', 0.8], ['sourceRead', 0.1], ['targetWrite', 0.1]),
    span(0.1, ['retry', 1]),
    span(0.2, ...copying.map(([cause, part]) => [cause, part / 2] as const), ['targetPressure', 0.5]),
  ];
  const total = spans.reduce((sum, one) => addedTimes(sum, one), {});
  return { from: until - ms, until, total, spans, behind };
}

/** A copy that was resumed, in the middle. */
function mapOf(chunks: number) {
  const stateOf = (chunk: number): ChunkState => {
    if (chunk > 640 && chunk < 700) return 'zero';
    if (chunk >= 448) return 'to-do';
    if (chunk >= 440) return 'copying';
    if (chunk >= 400) return 'written';
    if (chunk < 140) return 'proven';
    return chunk % 37 < 6 ? 'zero' : chunk % 91 === 5 ? 're-sent' : 'recorded';
  };
  const cells = Array.from({ length: chunks }, (_none, chunk) => stateOf(chunk));
  const counts = CHUNK_STATES.map((state) => [state, cells.filter((cell) => cell === state).length]);
  return { chunks, cells, counts: Object.fromEntries(counts) as Record<ChunkState, number> };
}
