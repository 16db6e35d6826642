/** What came of a tree copy, as a few calm lines. */
import { formatBytes, formatDuration, formatRate } from '../../core/units.js';
import type { TreeResult } from '../../index.js';

/** Of different kinds of trouble; whoever has more begins with these. */
const HINTS_MAX = 3;

export function treeLines(result: TreeResult, sync: boolean): string[] {
  const { files, links, folders, skipped, bytesCopied, bytesReused, bytesSkipped, elapsedMs, target } = result;
  const sent = bytesCopied - bytesReused;
  const rate = sent > 0 && elapsedMs > 0 ? `, ${formatRate((sent * 1000) / elapsedMs)}` : '';
  const lines = [
    `${count(files, 'file')} copied to ${target}: ${formatBytes(bytesCopied)} in ${formatDuration(elapsedMs)}${rate}`,
  ];
  const also = [
    ...(bytesReused > 0 ? [`${formatBytes(bytesReused)} from an earlier run, proven again`] : []),
    ...(result.bytesCloned > 0 ? [`${formatBytes(result.bytesCloned)} shared with the source, not written`] : []),
    ...(folders > 0 ? [`${count(folders, 'folder')} made`] : []),
    ...(links > 0 ? [`${count(links, 'link')} copied as ${links === 1 ? 'a link' : 'links'}`] : []),
    ...(skipped > 0 ? [`${count(skipped, 'file')} (${formatBytes(bytesSkipped)}) finished before and unchanged`] : []),
  ];
  if (also.length > 0) lines.push(`  ${also.join('; ')}`);
  const hashed = result.bytesCloned > 0 ? 'hashed while copying, or after sharing' : 'hashed while copying';
  const proven = result.proof === 'read-back' ? 'read back from the storage past the cache' : hashed;
  const unsure = sync ? '' : '; not flushed (--no-sync), so a power cut may undo it';
  if (files > 0) lines.push(`  proven: ${proven}${unsure}`);
  return [...lines, ...troubleLines(result)];
}

/** The end of a dry run. */
export function planTotalLines(result: TreeResult, limit: number | undefined): string[] {
  const { files, links, skipped, bytesCopied, target } = result;
  const rest = skipped > 0 ? `; ${count(skipped, 'file')} finished before` : '';
  const linked = links > 0 ? ` and ${count(links, 'link')}` : '';
  const total = `${count(files, 'file')}${linked} to copy to ${target}: ${formatBytes(bytesCopied)}${rest}`;
  return [total, ...timeLines(result, limit), ...troubleLines(result), 'nothing was changed (--dry-run)'];
}

/** Only what is known: the limit, and how fast the source is read; the target was not written to. */
function timeLines({ bytesCopied, readBytesPerSecond: read }: TreeResult, limit: number | undefined): string[] {
  const rate = Math.min(limit || Number.POSITIVE_INFINITY, read ?? Number.POSITIVE_INFINITY);
  if (!Number.isFinite(rate) || bytesCopied === 0) return [];
  const why = rate === limit ? 'the limit' : 'how fast the source was read past the cache';
  return [`  takes at least ${formatDuration((bytesCopied / rate) * 1000)}, at ${formatRate(rate)}: ${why}`];
}

function troubleLines({ refused, failed, failures }: TreeResult): string[] {
  const hints = [...new Set(failures.flatMap(({ error }) => error.hint ?? []))].slice(0, HINTS_MAX);
  return [
    ...(refused > 0 ? [`  ${count(refused, 'file')} refused, and left alone: told above`] : []),
    ...(failed > 0 ? [`  ${count(failed, 'file')} failed: told above`] : []),
    ...hints.map((hint) => `  ${hint}`),
  ];
}

function count(amount: number, what: string): string {
  return `${amount.toLocaleString('en-US')} ${what}${amount === 1 ? '' : 's'}`;
}
