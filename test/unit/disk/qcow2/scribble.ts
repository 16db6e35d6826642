/** Writes into an image what a guest might have: data, zeroes, discarded ranges, and compressed clusters. */
import type { Seeded } from '../../../support/seeded.js';
import type { Images } from './images.js';

export function scribble(images: Images, name: string, size: number, unit: number, seeded: Seeded, times = 40): void {
  const lines: string[] = [];
  for (let time = 0; time < times; time++) {
    const at = seeded.int(0, Math.floor(size / 512) - 1) * 512;
    const length = Math.min(size - at, seeded.int(1, Math.ceil((3 * unit) / 512)) * 512);
    const whole = Math.floor(at / unit) * unit;
    const kind = seeded.random();
    if (kind < 0.5) lines.push(`write -P ${seeded.int(1, 255)} ${at} ${length}`);
    else if (kind < 0.65) lines.push(`write -z ${at} ${length}`);
    else if (kind < 0.75) lines.push(`discard ${at} ${length}`);
    else if (whole + unit <= size) lines.push(`write -c -P ${seeded.int(1, 255)} ${whole} ${unit}`);
  }
  images.io(name, ...lines);
}
