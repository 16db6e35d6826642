/** How a tree copy begins: all sources and the target are opened, and the journal tells what is finished. */
import { basename, dirname } from 'node:path';
import type { Location } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type { SourceTree, TargetTree } from '../core/tree.js';
import { MiB } from '../core/units.js';
import type { OpenedTreeJournal } from '../journal/tree-journal.js';
import type { ChunkRunner } from '../transfer/chunk-runner.js';
import type { TreeRequest } from './tree-copy.js';

/** Larger files are worth a journal, chunks and lanes of their own. */
export const SMALL_BYTES_MAX = 8 * MiB;

export interface OpenedTree {
  readonly sources: readonly SourceTree[];
  readonly target: TargetTree;
  readonly journal: OpenedTreeJournal;
}

export async function openTree(request: TreeRequest, runner: ChunkRunner): Promise<OpenedTree> {
  const { recursive, dryRun, discard, sync, algorithm } = request;
  const sources: SourceTree[] = [];
  let target: TargetTree | undefined;
  try {
    for (const location of request.sources) {
      sources.push(await runner.run('open-source-tree', { location, recursive }));
    }
    assertDistinct(sources);
    // Looked at first, so that nothing is made where nothing is to be copied.
    target = await look(request, sources, runner);
    assertApart(sources, target);
    if (!dryRun) {
      await closeTrees([target], runner);
      target = undefined;
      target = await runner.run('open-target-tree', { location: request.target, dryRun });
    }
    const path = target.journalPath;
    // To copy all of it again is what both together mean; without --overwrite nothing known would only be refused.
    const forget = discard && request.overwrite;
    const about = { path, discard, forget, dryRun, sync, algorithm, chunkBytes: SMALL_BYTES_MAX };
    return { sources, target, journal: await runner.run('open-tree-journal', about) };
  } catch (thrown) {
    await closeTrees([...sources, ...(target ? [target] : [])], runner);
    throw thrown;
  }
}

/** Of a single file, whose copy alone is planned, the target may be the name. */
async function look({ target, dryRun, recursive }: TreeRequest, sources: SourceTree[], runner: ChunkRunner) {
  const open = (location: Location) => runner.run('open-target-tree', { location, dryRun: true });
  const [source] = sources;
  if (!dryRun || recursive || sources.length > 1 || !source || target.text.endsWith('/')) return open(target);
  const found = await open(target).catch((thrown) => {
    if (TransferError.from(thrown).code !== 'E_TARGET_KIND') throw thrown;
    return undefined;
  });
  if (found && !found.created) return found;
  sources[0] = { ...source, targetName: basename(target.text) };
  return open({ ...target, text: dirname(target.text) });
}

export async function closeTrees(
  trees: readonly { readonly ref: { readonly scheme: string; readonly fd: number } }[],
  runner: ChunkRunner,
): Promise<void> {
  for (const { ref } of trees) await runner.run('close-in-tree', { scheme: ref.scheme, fd: ref.fd });
}

/** What people call a path in a source. */
export function nameOf({ ref, fileName }: SourceTree, path: string): string {
  return [ref.name.replace(/\/$/, ''), path, fileName].filter((part) => part).join('/');
}

/** Two sources of one name would end in one place, and only one of them would be left. */
function assertDistinct(sources: readonly SourceTree[]): void {
  const names = new Map<string, SourceTree>();
  for (const source of sources) {
    // Of two folders the contents may be put together, but not of one folder twice.
    const name = source.targetName === '' ? `contents of ${source.ref.path}` : source.targetName;
    const other = names.get(name);
    if (other) {
      const both = `${nameOf(other, '')} and ${nameOf(source, '')}`;
      throw new TransferError('E_USAGE', `${both} would both become ${name} in the target`, {
        hint: 'Copy them by two commands, into two folders. Nothing was changed.',
      });
    }
    names.set(name, source);
  }
}

/** A tree that is copied into itself would never end. */
function assertApart(sources: readonly SourceTree[], target: TargetTree): void {
  for (const source of sources) {
    const { ref, targetName, fileName } = source;
    const path = fileName === undefined ? ref.path : below(ref.path, fileName);
    if (targetName !== '' && below(target.ref.path, targetName) === path) {
      throw new TransferError('E_USAGE', `${nameOf(source, '')} is there already: it would be copied onto itself`, {
        hint: 'Choose another target. Nothing was changed.',
      });
    }
    if (fileName !== undefined || !`${target.ref.path}/`.startsWith(below(path, ''))) continue;
    throw new TransferError(
      'E_USAGE',
      `${target.ref.name} lies inside ${ref.name}, which would be copied into itself`,
      {
        hint: 'Choose a target outside of the source. Nothing was changed.',
      },
    );
  }
}

function below(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`;
}
