/** A week, a row a day, with the windows of the policy as bars; and the same as a list of sentences. */
import type { Policy } from '../../service/policy/policy.js';
import { drawing, element } from './dom.js';
import { DAY_MINUTES, DAYS, segmentsOf, windowsOf, windowWords } from './week.js';

const ROW = 26;
const TOP = 18;
const LEFT = 40;
/** A unit is two minutes. */
const WIDTH = DAY_MINUTES / 2;
const COLOURS = 4;

export function weekPicture(policy: Policy): HTMLElement {
  const windows = windowsOf(policy).map((window, at) => ({
    window,
    look: 'classes' in window ? 'maintenance' : `window-${(at - policy.maintenance.length) % COLOURS}`,
  }));
  if (windows.length === 0) return element('p', { class: 'reason' }, 'No windows: the same rules hold all week.');
  const height = TOP + DAYS.length * ROW;
  const picture = drawing('svg', { viewBox: `0 0 ${LEFT + WIDTH} ${height}`, class: 'week', 'aria-hidden': 'true' });
  picture.append(...hours(height), ...days());
  // The first window binds, so it is drawn over those after it.
  for (const { window, look } of [...windows].reverse()) {
    for (const { day, from, to } of segmentsOf(window)) {
      const place = { x: LEFT + from / 2, y: TOP + day * ROW + 3, width: (to - from) / 2, height: ROW - 6, rx: 3 };
      picture.append(drawing('rect', { ...place, class: look }, drawing('title', {}, window.name)));
    }
  }
  const legend = windows.map(({ window, look }) =>
    element(
      'li',
      {},
      element('span', { class: `swatch ${look}` }),
      element('strong', {}, window.name),
      ` · ${windowWords(window)}`,
    ),
  );
  return element('figure', {}, picture, element('ul', { class: 'legend lines' }, ...legend));
}

function hours(height: number): readonly SVGElement[] {
  return [0, 6, 12, 18, 24].flatMap((hour) => {
    const x = LEFT + hour * 30;
    const anchor = hour === 24 ? 'end' : hour === 0 ? 'start' : 'middle';
    return [
      drawing('line', { x1: x, x2: x, y1: TOP, y2: height, class: 'grid' }),
      drawing('text', { x, y: 12, 'text-anchor': anchor }, `${String(hour).padStart(2, '0')}:00`),
    ];
  });
}

function days(): readonly SVGElement[] {
  return DAYS.flatMap((name, day) => {
    const y = TOP + day * ROW;
    const label = name.charAt(0).toUpperCase() + name.slice(1);
    return [
      drawing('rect', { x: LEFT, y: y + 3, width: WIDTH, height: ROW - 6, rx: 3, class: 'day' }),
      drawing('text', { x: 0, y: y + ROW / 2 + 4 }, label),
    ];
  });
}
