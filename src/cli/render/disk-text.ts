/** What the disk commands tell, as a few calm lines. */
import { formatBytes, formatDuration, formatRate } from '../../core/units.js';
import type {
  ChainDescription,
  CheckedImage,
  DigestResult,
  DiskCheck,
  DiskDescription,
  DiskDigest,
  Finding,
  Merged,
  MergeResult,
  ParentChanged,
  ParentLink,
} from '../../index.js';
import { shellQuote } from '../resume-command.js';
import { shortBytes } from './bench-table.js';
import { count } from './summary.js';

const LABEL_COLUMNS = 11;

function labelled(label: string, text: string): string {
  return `  ${`${label}:`.padEnd(LABEL_COLUMNS)}${text}`;
}

const exact = (bytes: number): string => `${formatBytes(bytes)} (${bytes} bytes)`;
/** A raw image has no other kind. */
const what = ({ format, kind }: Pick<DiskDescription, 'format' | 'kind'>): string =>
  format === kind ? format : `${format}, ${kind}`;

export function infoLines(image: DiskDescription): string[] {
  const { size, fileBytes, storedBytes, heldBytes, blockBytes, identity, facts = {}, parent, openForWriting } = image;
  const stored = storedBytes === undefined ? '' : `, of which ${formatBytes(storedBytes)} are stored`;
  const blocks = blockBytes > 0 ? `, in blocks of ${shortBytes(blockBytes)}` : '';
  const lines = [
    `${image.name}: ${what(image)}`,
    labelled('disk', exact(size)),
    labelled('file', exact(fileBytes) + stored),
    labelled('allocated', formatBytes(heldBytes) + blocks),
  ];
  if (identity !== undefined) lines.push(labelled('identity', identity));
  for (const [name, text] of Object.entries(facts)) lines.push(labelled(name, text));
  lines.push(...parentLines(parent));
  if (openForWriting !== undefined) lines.push(labelled('in use', openForWriting ? 'open for writing' : 'no'));
  return lines;
}

function parentLines(parent: ParentLink | undefined): string[] {
  if (!parent) return [];
  const { format, identity, paths } = parent;
  const about = [format, identity].filter((text) => text !== undefined).join(', ');
  const [first = 'without a name', ...others] = new Set(paths.map(({ path }) => path));
  return [
    labelled('parent', about === '' ? first : `${first} (${about})`),
    ...others.map((path) => `  ${' '.repeat(LABEL_COLUMNS)}or ${path}`),
  ];
}

export function checkLines({ sound, images }: DiskCheck): string[] {
  const found = images.flatMap(({ findings }) => findings);
  const doubtful = found.filter(({ severity }) => severity === 'doubtful').length;
  const [first] = images;
  const name = first?.name ?? '';
  const others = images.length > 1 ? ` and the ${count(images.length - 1, 'image')} that it builds on` : '';
  const verdict = sound
    ? `${name}${others}: nothing is wrong${doubtful > 0 ? `, ${doubtful} doubtful` : ''}`
    : `${name}: ${found.length - doubtful} wrong${doubtful > 0 ? `, ${doubtful} doubtful` : ''}`;
  return [verdict, ...images.flatMap((image) => foundIn(image, images.length > 1))];
}

function foundIn({ name, format, findings, more }: CheckedImage, named: boolean): string[] {
  if (findings.length === 0) return [];
  const lines = findings.flatMap(findingLines);
  if (more > 0) lines.push(`  and ${more} more`);
  return named ? [`${name} (${format}):`, ...lines] : lines;
}

function findingLines({ code, severity, message, offset }: Finding): string[] {
  const where = offset === undefined ? '' : ` at byte ${offset}`;
  return [`  ${severity}: ${code}${where}`, `    ${message}`];
}

export function chainLines({ images, broken }: ChainDescription): string[] {
  const lines = images.flatMap((image, at) => {
    const line = `${at}  ${image.name}: ${what(image)}, ${formatBytes(image.size)}`;
    return [`${line}, ${formatBytes(image.heldBytes)} of it here`, ...linkLines(image, images[at + 1])];
  });
  if (!broken) return lines;
  return [...lines, `broken: ${broken.message}`, ...(broken.hint === undefined ? [] : [`  ${broken.hint}`])];
}

/** How an image knows the next. */
function linkLines({ parent }: DiskDescription, next: DiskDescription | undefined): string[] {
  if (!parent) return ['   it builds on nothing'];
  if (!next) return [];
  if (parent.identity === undefined) return ['   builds on the next, which it knows by name only'];
  const same = [parent.identity, parent.otherIdentity].includes(next.identity);
  const how = same ? 'the identity that it names' : 'another identity now: a merge of the two was cut short';
  return [`   builds on the next, which has ${how}`];
}

export function parentChangedLines({ child, parent, parentFormat, proven, outside }: ParentChanged): string[] {
  const how = proven
    ? 'it has the identity that the image names'
    : 'that it is the same disk cannot be told from the images';
  const line = `${child} builds on ${parent} (${parentFormat}) now; ${how}`;
  if (outside === undefined) return [line];
  return [line, `  it lies outside of the image's folder: to read the two, add --parents ${shellQuote(outside)}`];
}

export function digestLines({ name, digests, elapsedMs }: DigestResult): string[] {
  const bytes = digests.reduce((sum, { size }) => sum + size, 0);
  return [`${name}: ${formatBytes(bytes)} in ${formatDuration(elapsedMs)}`, ...digests.flatMap(digestOf)];
}

const OF = { container: 'container, the file', content: 'content, what a guest sees' } as const;

function digestOf({ of, size, algorithm, root, chunkBytes, sha256 }: DiskDigest): string[] {
  const lines = [`  ${OF[of]}: ${exact(size)}`, `    ${of} ${algorithm}:${root} (chunks of ${shortBytes(chunkBytes)})`];
  return sha256 === undefined ? lines : [...lines, `    ${of} sha256:${sha256}`];
}

export function mergeLines(image: string, { merged, bytesWritten, elapsedMs }: MergeResult): string[] {
  if (merged.length === 0) return [`${image} was merged already; its record is removed now`];
  const rate = bytesWritten > 0 && elapsedMs > 0 ? `, ${formatRate((bytesWritten * 1000) / elapsedMs)}` : '';
  const lines = merged.flatMap(mergedLines);
  return [...lines, `${formatBytes(bytesWritten)} written in ${formatDuration(elapsedMs)}${rate}`];
}

function mergedLines({ child, parent, repointed, kept, resumed, bytesFound }: Merged): string[] {
  const again = resumed
    ? [`  went on with an earlier run${bytesFound > 0 ? `, which had merged ${formatBytes(bytesFound)}` : ''}`]
    : [];
  return [
    `${child} is merged into ${parent}${kept ? ', and kept' : ', and removed'}`,
    ...again,
    ...repointed.map((path) => `  ${path} builds on ${parent} now`),
  ];
}
