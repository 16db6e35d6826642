/** Runs the demo of a migration, and draws what it printed, at the speed at which it did: `npm run demo:qsm:record`. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { nowMs, systemClock } from '../src/core/clock.js';
import { escapeMarkup } from './markup.js';

const DEMO = fileURLToPath(new URL('./demo-qsm.js', import.meta.url));
const TARGET = fileURLToPath(new URL('../../docs/demo-qsm.svg', import.meta.url));
/** What comes before is the making of the machine. */
const FIRST = /^4\. /;
const SCRATCH = /\/\S*\/bf-qsm-\w+\//g;
const LINE_PX = 17;
const COLUMN_PX = 8.1;
const EDGE_PX = 16;

interface Line {
  readonly text: string;
  readonly seconds: number;
}

const CLASSES: readonly (readonly [RegExp, string])[] = [
  [/^ *HB /, 'beat'],
  [/^ *ok /, 'good'],
  [/^ *\$ /, 'typed'],
  [/^\d\. |^The blackout/, 'title'],
];

async function record(): Promise<Line[]> {
  const child = spawn(process.execPath, [DEMO], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: Line[] = [];
  let startMs: number | undefined;
  for await (const text of createInterface({ input: child.stdout })) {
    if (FIRST.test(text)) startMs = nowMs(systemClock);
    if (startMs === undefined) continue;
    lines.push({ text: text.replace(SCRATCH, ''), seconds: (nowMs(systemClock) - startMs) / 1000 });
  }
  return lines;
}

/** Each line appears when it was printed; where nothing may move, all of them are there at once. */
function draw(lines: readonly Line[]): string {
  const [width, height] = [Math.max(...lines.map(({ text }) => text.length)) * COLUMN_PX, lines.length * LINE_PX];
  const box = `0 0 ${Math.ceil(width + 2 * EDGE_PX)} ${height + 2 * EDGE_PX}`;
  const drawn = lines.map(({ text, seconds }, at) => {
    const [, kind = 'plain'] = CLASSES.find(([pattern]) => pattern.test(text)) ?? [];
    const place = `x="${EDGE_PX}" y="${EDGE_PX + (at + 0.75) * LINE_PX}"`;
    return `<text class="${kind}" ${place} style="animation-delay:${seconds.toFixed(2)}s">${escapeMarkup(text)}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${box}" role="img">
<title>A virtual machine moves to other storage while it runs; its heartbeats stop for the blackout alone</title>
<style>
rect{fill:#16181d}
text{font:13px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre;fill:#c9d1d9;
  animation:appear .01s linear both}
.title{fill:#fff;font-weight:600}
.typed{fill:#8b949e}
.good{fill:#56d364}
.beat{fill:#e3b341}
@keyframes appear{from{opacity:0}to{opacity:1}}
@media(prefers-reduced-motion:reduce){text{animation:none}}
</style>
<rect width="100%" height="100%" rx="8"/>
${drawn.join('\n')}
</svg>
`;
}

writeFileSync(TARGET, draw(await record()));
