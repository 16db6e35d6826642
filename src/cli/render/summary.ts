/** The outcome of a command as a few calm lines. */
import { formatBytes, formatDuration, formatRate } from '../../core/units.js';
import type { PartialStatus, TransferResult, VerifyResult } from '../../index.js';

export const RANGES_SHOWN = 20;
/** A comparison lists no more than this. */
const RANGES_LISTED_MAX = 10_000;

export function copyLines(result: TransferResult, sync: boolean): string[] {
  const { bytesTotal, bytesCopied, elapsedMs } = result;
  const rate = bytesCopied > 0 && elapsedMs > 0 ? `, ${formatRate((bytesCopied * 1000) / elapsedMs)}` : '';
  const lines = [
    `${result.source} is copied to ${result.target}: ${formatBytes(bytesTotal)} in ${formatDuration(elapsedMs)}${rate}`,
  ];
  const amounts = [
    amount(result.bytesCloned, 'shared with the source'),
    amount(result.bytesReused, 'from an earlier run, proven again'),
    amount(result.bytesAdopted, 'taken over from the old target, hashed again'),
    amount(result.bytesZero, 'zero'),
    amount(result.bytesMismatched, 'on record but not on the storage, copied again'),
    amount(result.bytesRepaired, 'read back wrong and repaired'),
  ].filter((text) => text !== undefined);
  if (amounts.length > 0) lines.push(`  ${[`${formatBytes(bytesCopied)} sent`, ...amounts].join('; ')}`);
  const hashed = result.bytesCloned > 0 && bytesCopied === 0 ? 'hashed after sharing' : 'hashed while copying';
  const proof = result.proof === 'read-back' ? 'read back from the storage past the cache' : hashed;
  const expected = result.checksum?.expected === undefined ? '' : '; SHA-256 as expected';
  lines.push(`  proven: ${proof}${expected}${sync ? '' : '; not flushed (--no-sync), so a power cut may undo it'}`);
  if (result.checksum) lines.push(checksumLine(result, result.checksum.value));
  if (result.root !== '') lines.push(`  ${rootText(result)}`);
  if (result.manifest !== undefined) lines.push(`  manifest: ${result.manifest}`);
  return lines;
}

function amount(bytes: number, what: string): string | undefined {
  return bytes > 0 ? `${formatBytes(bytes)} ${what}` : undefined;
}

function checksumLine({ target, of }: TransferResult, value: string): string {
  // In the form that sha256sum -c reads; of the content there is no file that it could read.
  return of === 'content' ? `  SHA-256 of the content: ${value}` : `  SHA256 (${target}) = ${value}`;
}

type Root = Pick<TransferResult, 'algorithm' | 'root' | 'chunkBytes' | 'of'>;

function rootText({ algorithm, root, chunkBytes, of }: Root): string {
  const what = of === 'content' ? 'root of the content' : 'root';
  return `${what}: ${algorithm}:${root} (chunks of ${formatBytes(chunkBytes)})`;
}

export function verifyLines(result: VerifyResult): string[] {
  const { one, other, differing } = result;
  if (result.same) {
    const bytes = Math.min(one.size, other.size);
    const size = `${formatBytes(bytes)} (${bytes} bytes)`;
    return [
      result.proof === undefined
        ? `same: ${one.name} and ${other.name} hold the same ${result.of === 'content' ? 'content, ' : ''}${size}`
        : `same: ${one.name} is what ${other.name} says: ${size}`,
      `  ${rootText(result)}`,
    ];
  }
  const ranges = `${differing.length === RANGES_LISTED_MAX ? 'at least ' : ''}${count(differing.length, 'range')}`;
  const bytes = count(result.bytesDiffering, 'byte');
  const lines = [
    result.proof === undefined
      ? `different: ${one.name} and ${other.name} differ in ${bytes}, in ${ranges}`
      : `different: ${one.name} is not what ${other.name} says: ${ranges} of whole chunks, ${bytes}`,
  ];
  if (one.size !== other.size) lines.push(`  sizes: ${one.size} and ${other.size} bytes`);
  for (const { offset, length } of differing.slice(0, RANGES_SHOWN)) {
    lines.push(`  bytes ${offset} to ${offset + length - 1} (${count(length, 'byte')})`);
  }
  const more = differing.length - RANGES_SHOWN;
  if (more > 0) lines.push(`  and ${more} more; --json lists them`);
  return lines;
}

export function count(amount: number, what: string, many = `${what}s`): string {
  return `${amount} ${amount === 1 ? what : many}`;
}

type Partial = NonNullable<PartialStatus['partial']>;

/** @param holder whether the process that opened the partial last still runs; undefined: it cannot be told from here */
export function statusLines(status: PartialStatus, holder: 'running' | 'gone' | undefined): string[] {
  const { target, exists, half, partial } = status;
  if (!partial)
    return exists ? [`${target} exists; there is no partial copy of it`, ...halfLines(half)] : halfLines(half);
  const kept = partial.bytesClaimed + partial.bytesZero;
  const amounts = `${formatBytes(kept)} of ${formatBytes(partial.bytesTotal)}`;
  const percent = partial.bytesTotal === 0 ? 100 : Math.floor((kept / partial.bytesTotal) * 100);
  const lines = [
    `${target}: a partial copy of ${partial.source}`,
    `  on record: ${amounts} (${percent} %), begun ${wallTime(partial.startedAt)}`,
    `  ${whyLine(partial, holder)}`,
  ];
  if (partial.damagedRecords > 0)
    lines.push(`  ${partial.damagedRecords} damaged journal records: what they spoke of is copied again`);
  lines.push(...halfLines(half));
  if (exists) lines.push(`  a file named ${target} exists too, and is left alone without --overwrite`);
  if (holder !== 'running') lines.push(`  to go on, ${wayOn(partial, exists)}`);
  return lines;
}

function halfLines(half: PartialStatus['half']): string[] {
  if (half === 'data')
    return [
      '  a partial copy is there, but its journal is not here: whoever began it goes on with the same command;',
      '  --discard throws it away',
    ];
  return half === 'journal' ? ['  its partial data is gone: the next run begins afresh'] : [];
}

function wayOn({ stopped }: Partial, exists: boolean): string {
  const changed = stopped?.code === 'E_SOURCE_CHANGED';
  if (changed) return 'copy the source as it is now with --discard: what is kept is of an older version';
  return exists ? 'run the same copy command again with --overwrite' : 'run the same copy command again';
}

export function nothingLine(target: string): string {
  return `there is neither ${target} nor a partial copy of it`;
}

function whyLine({ stopped, lastOpened }: Partial, holder: 'running' | 'gone' | undefined): string {
  if (stopped?.code === 'E_STOPPED') return `interrupted ${wallTime(stopped.at)}; what was finished is kept`;
  if (stopped) return `stopped ${wallTime(stopped.at)}: ${stopped.message}`;
  if (!lastOpened) return 'it was killed before it had begun';
  const process = `process ${lastOpened.pid} on ${lastOpened.host}`;
  if (holder === 'running') return `still running: ${process}, since ${wallTime(lastOpened.at)}`;
  if (holder === 'gone') return `was killed: ${process}, begun ${wallTime(lastOpened.at)}, is gone`;
  return `was killed or is still running: ${process}, since ${wallTime(lastOpened.at)}`;
}

/** `2025-01-31 12:00:00Z`: the same for everybody who reads the log. */
export function wallTime(wallMs: number): string {
  return new Date(wallMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}
