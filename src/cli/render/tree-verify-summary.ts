/** What a verification of a folder found, as lines for people. */
import { formatBytes } from '../../core/units.js';
import type { ListedProblem, TreeVerifyResult } from '../../index.js';
import { count, RANGES_SHOWN as PROBLEMS_SHOWN } from './summary.js';

const RANGES_SHOWN = 3;

export function treeVerifyLines(result: TreeVerifyResult): string[] {
  const { target, against, problems, filesExtra, filesMissing, filesDifferent, filesUnreadable } = result;
  const extra =
    filesExtra > 0 ? [`  extra: ${count(filesExtra, 'file')} in ${target} that ${against} knows nothing of`] : [];
  const all = `${count(result.files, 'file')}, ${formatBytes(result.bytes)}`;
  if (result.same) return [`same: ${target} holds all that ${against} says: ${all}`, ...extra];
  const wrong = [
    filesMissing > 0 ? `${filesMissing} missing` : undefined,
    filesDifferent > 0 ? `${filesDifferent} different` : undefined,
    filesUnreadable > 0 ? `${filesUnreadable} unreadable` : undefined,
  ].filter((text) => text !== undefined);
  const lines = [`different: ${target} is not what ${against} says: ${wrong.join(', ')} of ${all}`];
  lines.push(...problems.slice(0, PROBLEMS_SHOWN).map(problemLine));
  const more = filesMissing + filesDifferent + filesUnreadable - PROBLEMS_SHOWN;
  if (more > 0) lines.push(`  and ${more} more; --json lists ${problems.length}`);
  return [...lines, ...extra];
}

function problemLine(found: ListedProblem): string {
  const { path } = found;
  if (found.problem === 'missing') return `  missing: ${path}`;
  if (found.problem === 'unreadable') return `  unreadable: ${path}: ${found.reason}`;
  if (found.problem === 'kind') return `  different: ${path}: ${found.reason}`;
  if (found.problem === 'size') return `  different: ${path}: ${found.size} bytes instead of ${found.expectedSize}`;
  const ranges = found.differing
    .slice(0, RANGES_SHOWN)
    .map(({ offset, length }) => `${offset} to ${offset + length - 1}`);
  const more =
    found.differing.length > RANGES_SHOWN ? ` and ${count(found.differing.length - RANGES_SHOWN, 'more range')}` : '';
  return `  different: ${path}: bytes ${ranges.join(', ')}${more}`;
}
