/**
 * A process that merges images and kills itself with SIGKILL at a chosen moment: around a call on files, or after some
 * time. It runs the built engine. What it is to do comes as JSON in its only argument; without a kill it prints how
 * often each call was made.
 */

import { mergeStep } from '../../dist/src/disk/merge.js';
import { planMerge } from '../../dist/src/disk/merge-plan.js';
import { localScheme } from '../../dist/src/endpoint/local.js';
import { parseLocation } from '../../dist/src/endpoint/location.js';
import { mergeDisk } from '../../dist/src/index.js';
import { realFiles } from '../../dist/src/platform/file-layer.js';

const { child, into, kill } = JSON.parse(process.argv[2]);

/** Nothing after this line of the caller ever runs. */
function die() {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

const SECTOR = 512;

/** Half of a write, up to where a sector begins: a sector is written wholly or not at all; the formats count on it. */
function wholeSectors(length, position) {
  const cut = position + Math.floor(length / 2);
  return Math.max(0, cut - (cut % SECTOR) - position);
}

const CHANGES = ['writeSync', 'fdatasyncSync', 'ftruncateSync', 'unlinkSync', 'syncFolder', 'punchHole', 'openSync'];
const counts = Object.fromEntries(CHANGES.map((call) => [call, 0]));

function watched(call) {
  return (...args) => {
    const mine = kill.at === 'file-call' && kill.call === call && ++counts[call] === kill.nth;
    if (!mine) {
      if (kill.at !== 'file-call') counts[call]++;
      return realFiles[call](...args);
    }
    if (kill.when === 'torn') {
      const [fd, bytes, from, length, position] = args;
      realFiles.writeSync(fd, bytes, from, wholeSectors(length, position), position);
    }
    if (kill.when === 'after') realFiles[call](...args);
    return die();
  };
}

async function mergeInline() {
  const files = { ...realFiles, ...Object.fromEntries(CHANGES.map((call) => [call, watched(call)])) };
  const local = localScheme(realFiles);
  const opener = { open: (location) => local.openSource(location), locate: parseLocation };
  const wish = { child: parseLocation(child), keep: false, breakOthers: false, ...(into && { into }) };
  for (const step of await planMerge(wish, opener, files)) {
    const host = { files, opener, stopped: () => false, counted: () => undefined, pace: () => undefined };
    await mergeStep(step, host);
  }
}

if (kill.at === 'delay') {
  setTimeout(die, kill.ms);
  await mergeDisk({ child, ...(into && { into }) }).result;
} else await mergeInline();
process.stdout.write(JSON.stringify(counts));
