/** Where the time of a job went, as a small table: what took longest comes first. */
import { CAUSE_NAMES, type Cause, totalTime } from '../../core/causes.js';
import type { TimeView } from '../../service/job-service.js';
import { rowText, timeText } from './explain-text.js';

/** Who was in the way for less is none of the answer. */
const NAMED_MAX = 5;

export function timeLines({ total, behind }: TimeView, columns: number): string[] {
  const allMs = totalTime(total);
  const causes = (Object.entries(total) as [Cause, number][]).sort(([, one], [, other]) => other - one);
  const shown = causes.filter(([, ms]) => ms >= 10 && ms >= allMs / 1000);
  if (shown.length === 0) return [];
  const restMs = allMs - shown.reduce((sum, [, ms]) => sum + ms, 0);
  const rows = shown.map(([cause, ms]) => ({
    label: `  ${CAUSE_NAMES[cause]}`,
    time: timeText(ms),
    share: ms / allMs,
  }));
  if (restMs >= 10) rows.push({ label: '  the rest', time: timeText(restMs), share: restMs / allMs });
  const width = {
    label: Math.max(...rows.map(({ label }) => label.length)),
    time: Math.max(...rows.map(({ time }) => time.length)),
    all: columns,
  };
  return [
    `where the time went, ${timeText(allMs)} since it was made:`,
    ...rows.map((row) => rowText(row, width)),
    ...behindLines(behind),
  ];
}

function behindLines(behind: TimeView['behind']): string[] {
  const lines = behind.slice(0, NAMED_MAX).map(({ job, name, ms, preempted }) => {
    const who = name ?? (job === undefined ? "another owner's job" : `the forgotten job ${job.slice(0, 8)}`);
    const times = preempted === 1 ? 'once' : `${preempted} times`;
    return `    ${who}: ${timeText(ms)}${preempted > 0 ? `, and it had to stop for it ${times}` : ''}`;
  });
  const more = behind.length - lines.length;
  if (more > 0) lines.push(`    and ${more} more`);
  return lines.length === 0 ? [] : ['  it stood behind, at times behind several:', ...lines];
}
