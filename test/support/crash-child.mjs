/**
 * A process that copies one file, or a tree, and kills itself with SIGKILL at a chosen moment: when an event comes, or
 * around a call on files. It runs the built engine. What it is to do comes as JSON in its only argument; it prints
 * JSON lines.
 */

import { systemClock } from '../../dist/src/core/clock.js';
import { diskLocation } from '../../dist/src/disk/disk-location.js';
import { lookAtSource, lookAtTarget } from '../../dist/src/disk/gate.js';
import { localScheme } from '../../dist/src/endpoint/local.js';
import { parseLocation } from '../../dist/src/endpoint/location.js';
import { copy, copyTree } from '../../dist/src/index.js';
import { FileJournals } from '../../dist/src/journal/file-journal.js';
import { TreeJournals } from '../../dist/src/journal/tree-journal.js';
import { realFiles } from '../../dist/src/platform/file-layer.js';
import { diskScheme } from '../../dist/src/transfer/disk-ends.js';
import { InlineRunner } from '../../dist/src/transfer/inline-runner.js';
import { Performer } from '../../dist/src/transfer/perform.js';
import { Transfer } from '../../dist/src/transfer/transfer.js';
import { TreeCopy } from '../../dist/src/tree/tree-copy.js';

const { options, kill } = JSON.parse(process.argv[2]);
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

/** Nothing after this line of the caller ever runs. */
function die() {
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

/** The real file calls, except that the nth call of one name is never survived. */
function deadlyFiles({ call, nth, when }) {
  let count = 0;
  const deadly = (...args) => {
    if (++count !== nth) return realFiles[call](...args);
    if (when === 'torn') {
      const [fd, bytes, from, length, position] = args;
      realFiles.writeSync(fd, bytes, from, Math.floor(length / 2), position);
    }
    if (when === 'after') realFiles[call](...args);
    return die();
  };
  return { ...realFiles, [call]: deadly };
}

/** The engine on this one thread, with the given file calls. */
function copyInline(files) {
  const journals = new FileJournals(files);
  const treeJournals = async () => new TreeJournals(files, journals);
  const containers = { file: () => localScheme(files) };
  const registry = { ...containers, disk: () => diskScheme(containers) };
  const gate = async () => ({ source: lookAtSource, target: lookAtTarget });
  const parts = { registry, journals, treeJournals, gate, clock: systemClock };
  const [source, target] = [options.source, options.target].map((path) => path && parseLocation(path));
  const request = {
    target: options.to ? diskLocation({ container: target, layout: options.to }) : target,
    check: true,
    algorithm: 'xxh64',
    chunkBytes: options.chunkBytes,
    lanes: options.lanes,
    rateBytesPerSecond: options.limitBytesPerSecond ?? 0,
    overwrite: options.overwrite ?? false,
    discard: false,
    sync: options.sync ?? true,
    readBack: options.readBack ?? false,
    manifest: options.manifest,
    preserve: options.preserve,
    checksum: options.checksum,
    reflink: options.reflink,
  };
  const runner = new InlineRunner(new Performer(parts), 2);
  const ends = { runner, clock: systemClock, random: Math.random };
  const work = options.sources
    ? new TreeCopy({ ...request, ...treeRequest() }, ends)
    : new Transfer({ ...request, source: options.to ? diskLocation({ container: source }) : source }, ends);
  return { events: work.events, result: work.run() };
}

function treeRequest() {
  const sources = options.sources.map((source) => parseLocation(source));
  return { sources, recursive: true, preserve: options.preserve ?? false, include: [], exclude: [], dryRun: false };
}

function copyInPool() {
  const run = options.sources ? copyTree(options) : copy(options);
  return { events: run, result: run.result };
}

async function watch(events) {
  const seen = { checkpoint: 0, bytesDone: 0 };
  for await (const event of events) {
    if (event.type === 'checkpoint') seen.checkpoint++;
    if (event.type === 'progress') seen.bytesDone = event.bytesDone;
    if (event.type === 'checkpoint' || event.type === 'progress') say({ ...seen });
    if (kill.at === 'state' && event.state === kill.state) die();
    if (kill.at === 'checkpoint' && seen.checkpoint >= kill.nth) die();
    if (kill.at === 'progress' && seen.bytesDone >= kill.bytes) die();
  }
}

if (kill.at === 'delay') setTimeout(die, kill.ms);
const { events, result } = kill.at === 'file-call' ? copyInline(deadlyFiles(kill)) : copyInPool();
result.catch(() => undefined);
await watch(events);
try {
  say({ result: await result });
} catch (error) {
  say({ error: error.toJSON?.() ?? String(error) });
  process.exitCode = error.exitCode ?? 1;
}
