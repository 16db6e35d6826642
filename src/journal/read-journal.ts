/**
 * Reads a journal file: whole lines only, whatever they hold. A torn tail is passed over, and a damaged line loses only
 * itself.
 */
import { CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_COUNT_MAX, ChunkGrid } from '../core/chunk.js';
import { DIGEST_BYTES } from '../core/digest.js';
import { TransferError } from '../core/errors.js';
import { type FileLayer, readFully } from '../platform/file-layer.js';
import { showPath } from '../platform/path-bytes.js';
import {
  applyRecord,
  decodeRecord,
  emptyClaims,
  HEADER_BYTES_MAX,
  isTime,
  JOURNAL_FORMAT,
  JOURNAL_MAGIC,
  type JournalContent,
  type JournalHeader,
  type JournalNews,
  type JournalRecord,
  RECORD_BYTES_MAX,
} from './journal.js';

const READ_BYTES = 1024 * 1024;
export const FIRST_LINE = `${JOURNAL_MAGIC} ${JOURNAL_FORMAT}\n`;
const DISCARD_HINT =
  'Run again with --discard to throw the partial copy away and start afresh, or choose another target.';

/** Undefined: the journal never got its header. @throws TransferError E_JOURNAL_DAMAGED, E_JOURNAL_VERSION */
export function readJournal(files: FileLayer, path: string, fd: number): JournalContent | undefined {
  const lines = linesOf(files, fd, HEADER_BYTES_MAX);
  const first = lines.next();
  if (first.done ? isTornStart(files, fd) : first.value.text.startsWith('\0')) return undefined;
  if (first.done) throw damaged(path, 'is not a Blockferry journal');
  const format = new RegExp(`^${JOURNAL_MAGIC} (\\d+)$`).exec(first.value.text)?.[1];
  if (format === undefined) throw damaged(path, 'is not a Blockferry journal');
  if (Number(format) !== JOURNAL_FORMAT) {
    throw new TransferError(
      'E_JOURNAL_VERSION',
      `journal ${showPath(path)} has format ${format}; this version reads 1`,
      {
        hint: 'Finish the copy with the Blockferry that began it; nothing was changed. --discard starts afresh.',
      },
    );
  }
  const second = lines.next();
  // A power cut tore the header. It is durable before there is a part, so nothing can have been claimed.
  if (second.done) return undefined;
  const header = tryDecode(second.value.text);
  if (header?.type !== 'header' || !isSane(header.header)) throw damaged(path, 'has no readable header');
  return collect(header.header, lines, second.value.end);
}

/** A file without one whole line: what a crash leaves of a journal that was just begun, or something else. */
function isTornStart(files: FileLayer, fd: number): boolean {
  const bytes = Buffer.alloc(FIRST_LINE.length);
  const text = bytes.toString('latin1', 0, readFully(files, fd, bytes, 0));
  return text.startsWith('\0') || FIRST_LINE.startsWith(text);
}

/** The whole lines of the file, cut to so many bytes; what follows the last newline is a torn tail. */
export function* linesOf(files: FileLayer, fd: number, textBytesMax: number): Generator<{ text: string; end: number }> {
  const block = Buffer.alloc(READ_BYTES);
  let rest = Buffer.alloc(0);
  for (let position = 0, end = 0; ; ) {
    const got = readFully(files, fd, block, position);
    position += got;
    const bytes = Buffer.concat([rest, block.subarray(0, got)]);
    let from = 0;
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      end += at + 1 - from;
      yield { text: bytes.toString('utf8', from, Math.min(at, from + textBytesMax)), end };
      from = at + 1;
    }
    rest = bytes.subarray(from);
    if (got < block.length) return;
    // An endless line is damage; only its length matters.
    if (rest.length > 64 * READ_BYTES) return;
  }
}

function collect(
  given: JournalHeader,
  lines: Generator<{ text: string; end: number }>,
  goodFrom: number,
): JournalContent {
  // It is shown to people, and anybody may have written it.
  const header = {
    ...given,
    sourceName: showPath(String(given.sourceName)),
    targetName: showPath(String(given.targetName)),
  };
  const claims = emptyClaims(new ChunkGrid(header.size, header.chunkBytes), header.algorithm);
  const news: JournalNews = { damagedRecords: 0, unsynced: false };
  let goodBytes = goodFrom;
  for (const { text, end } of lines) {
    const record = text.length <= RECORD_BYTES_MAX ? tryDecode(text) : undefined;
    if (!record || !applyRecord(record, claims, news)) news.damagedRecords++;
    goodBytes = end;
  }
  return { header, claims, news, goodBytes };
}

function isSane(header: JournalHeader): boolean {
  if (typeof header !== 'object' || header === null) return false;
  const { size, chunkBytes, algorithm, sourceVersion, createdAt, layout = {} } = header;
  const numbers = Number.isSafeInteger(size) && size >= 0 && Number.isSafeInteger(chunkBytes) && chunkBytes > 0;
  const bounded = chunkBytes >= CHUNK_BYTES_MIN && (chunkBytes <= CHUNK_BYTES_MAX || chunkBytes === size);
  const countable = size / chunkBytes <= CHUNK_COUNT_MAX;
  if (typeof layout !== 'object' || layout === null || !isTime(createdAt)) return false;
  return (
    numbers &&
    bounded &&
    countable &&
    Object.hasOwn(DIGEST_BYTES, algorithm) &&
    typeof sourceVersion?.value === 'string'
  );
}

function tryDecode(text: string): JournalRecord | undefined {
  try {
    return decodeRecord(text);
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof URIError) return undefined;
    throw thrown;
  }
}

function damaged(path: string, what: string): TransferError {
  return new TransferError(
    'E_JOURNAL_DAMAGED',
    `journal ${showPath(path)} ${what}; the partial copy beside it was kept`,
    {
      hint: DISCARD_HINT,
    },
  );
}
