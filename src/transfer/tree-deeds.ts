/** What workers do for trees: the part of the table of work that speaks of folders and small files. */
import type { FilesHost } from '../core/tree.js';
import { MiB } from '../core/units.js';
import { ability, type Registry, schemeOf } from '../endpoint/registry.js';
import { ManifestWriter } from '../journal/manifest-writer.js';
import type { TreeJournal, TreeJournals } from '../journal/tree-journal.js';
import { versionsIn } from '../journal/tree-record.js';
import { nextBlock } from './copy-chunk.js';
import type { ChunkHost } from './hash-range.js';
import { provenFile } from './proven-file.js';
import type { FilesTask, Work } from './requests.js';

export type TreeWork =
  | 'open-source-tree'
  | 'open-target-tree'
  | 'open-tree-journal'
  | 'list-folder'
  | 'copy-files'
  | 'locate-in-tree'
  | 'record-files'
  | 'unrecord-file'
  | 'doubt-tree'
  | 'write-tree-manifest'
  | 'finish-folders'
  | 'restrict-folders'
  | 'sweep-folders'
  | 'settle-tree'
  | 'close-in-tree';

export interface TreeParts {
  readonly registry: Registry;
  readonly treeJournals: TreeJournals;
  /** What chunks are copied with, for the job of this task. */
  host(task: FilesTask): Promise<ChunkHost>;
}

export function treeDeeds(parts: TreeParts): { [N in TreeWork]: (request: Work[N]['in']) => Promise<Work[N]['out']> } {
  const end = async (scheme: string, name = `${scheme}://`) => {
    return ability(await schemeOf(parts.registry, scheme), name, 'trees')();
  };
  return {
    'open-source-tree': async ({ location, recursive }) =>
      (await end(location.scheme, location.name)).openSourceTree(location, recursive),
    'open-target-tree': async ({ location, dryRun }) =>
      (await end(location.scheme, location.name)).openTargetTree(location, dryRun),
    'open-tree-journal': (request) => parts.treeJournals.open(request),
    'list-folder': async ({ ref, folder }) => (await end(ref.scheme)).list(ref, folder),
    'copy-files': async (task) => {
      const journal = await parts.treeJournals.attach(task.journal);
      const host = await parts.host(task);
      const buffer = host.buffers.take(task.blockBytes);
      try {
        return await (await end(task.target.scheme)).copyFiles(task, filesHost(task, journal, host, buffer));
      } finally {
        host.buffers.give(buffer);
      }
    },
    'locate-in-tree': async ({ ref, folder, name }) => (await end(ref.scheme)).locate(ref, folder, name),
    'record-files': async ({ journal, files, sync }) => {
      (await parts.treeJournals.attach(journal)).finished(files, sync);
    },
    'unrecord-file': async ({ journal, file, sync }) => {
      (await parts.treeJournals.attach(journal)).append([{ type: 'void', ...versionsIn(file) }], sync);
    },
    'doubt-tree': async ({ journal }) => {
      (await parts.treeJournals.attach(journal)).append([{ type: 'doubt' }], true);
    },
    'write-tree-manifest': ({ journal, path, sync }) => writeManifest(parts.treeJournals.filesOf(journal), path, sync),
    'finish-folders': async ({ target, groups }) => (await end(target.scheme)).finishFolders(target, groups),
    'restrict-folders': async ({ target, folders, journal }) => {
      const notes = (await end(target.scheme)).restrictFolders(target, folders);
      (await parts.treeJournals.attach(journal)).append([{ type: 'restricted' }], false);
      return notes;
    },
    'sweep-folders': async ({ target, folders, tag }) => (await end(target.scheme)).sweep(target, folders, tag),
    'settle-tree': async ({ target, folders, journal }) => {
      // A record that says more than what was flushed would make files sure that are not.
      if ((await end(target.scheme)).flush(target, folders)) (await parts.treeJournals.attach(journal)).synced();
    },
    'close-in-tree': async ({ scheme, fd }) => (await end(scheme)).close(fd),
  };
}

/** All files that are finished now, whichever run did it. */
async function writeManifest(
  files: ReturnType<TreeJournals['filesOf']>,
  manifest: string,
  sync: boolean,
): Promise<void> {
  const writer = await ManifestWriter.begin(manifest, { sync });
  try {
    for await (const { path, digests, proof = 'written', ...about } of files) {
      const bytes = Buffer.from(digests, 'hex');
      await writer.file({ path, ...(await provenFile(about, bytes, { proof })) }, bytes);
    }
    await writer.finish();
    await writer.publish();
  } catch (thrown) {
    await writer.abandon();
    throw thrown;
  }
}

/** Enough to tell how fast a storage is read, and soon done on a slow one. */
const PROBE_BYTES = 256 * MiB;
const PROBE_NS = 1e9;

let batches = 0;

function filesHost(task: FilesTask, journal: TreeJournal, host: ChunkHost, buffer: Uint8Array): FilesHost {
  const batch = `${process.pid}-${process.hrtime.bigint()}-${batches++}`;
  return {
    newHasher: host.newHasher,
    block: (rest) => nextBlock(buffer, rest, host),
    stopped: () => host.control.stopped,
    counted: (bytes) => {
      host.control.add('writtenBytes', BigInt(bytes));
      // How long it took is not known, only that it was ours.
      host.pace.measured('reads', bytes, 0n);
      host.pace.measured('writes', bytes, 0n);
    },
    nowNs: () => host.clock.nowNs(),
    probed: (bytes, ns) => {
      host.control.add('readBytes', BigInt(bytes));
      host.control.add('readNs', ns);
      return host.control.counter('readBytes') < PROBE_BYTES && host.control.counter('readNs') < PROBE_NS;
    },
    knows: (path) => journal.knows(path),
    look: (path, sourceVersion, targetVersion) => journal.look(path, sourceVersion, targetVersion),
    sure: (path, sourceVersion, targetVersion) => journal.sure(path, sourceVersion, targetVersion, task.sync),
    markSeen: (path) => journal.markSeen(path),
    begin: (folders) => journal.append([{ type: 'begin', batch, folders }], false),
    record: (files) => journal.finished(files, task.sync),
    unrecord: (files) =>
      journal.append(
        files.map((file) => ({ type: 'void', ...versionsIn(file) }) as const),
        task.sync,
      ),
    restrict: (folder, mode) => journal.append([{ type: 'restrict', folder, mode }], false),
    end: () => journal.append([{ type: 'end', batch }], false),
  };
}
