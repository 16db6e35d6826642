/** `blockferry disk info`, `check`, `chain` and `digest`: what is known of an image. */
import { ERROR_KINDS, TransferError } from '../../core/errors.js';
import { checkDisk, type DiskOptions, describeDisk, diskDigest, setDiskParent } from '../../index.js';
import type { DiskChainFlags, DiskDigestFlags, DiskFlags } from '../disk-program.js';
import { EXIT_INTERRUPTED, follow } from '../follow.js';
import { httpOptions } from '../http-flags.js';
import { chainLines, checkLines, digestLines, infoLines, parentChangedLines } from '../render/disk-text.js';
import { createReporter } from '../render/reporter.js';
import type { Session } from '../session.js';

const WRONG = ERROR_KINDS.E_DISK_FORMAT.exitCode;

export function lookFor(flags: DiskFlags): DiskOptions & { readonly parentFolders: readonly string[] } {
  return { parentFolders: flags.parents ?? [], ...httpOptions(flags) };
}

export async function runDiskInfo(session: Session, image: string, flags: DiskFlags): Promise<number> {
  const { images } = await describeDisk(image, lookFor(flags));
  const [first] = images;
  if (!first) throw new TransferError('E_BUG', 'an image was opened and not described');
  if (flags.json) session.out.json({ schema: 1, type: 'disk-info', ...first });
  else for (const line of infoLines(first)) session.out.line(line);
  return 0;
}

export async function runDiskCheck(session: Session, image: string, flags: DiskFlags): Promise<number> {
  const checked = await checkDisk(image, lookFor(flags));
  if (flags.json) session.out.json({ schema: 1, type: 'disk-check', ...checked });
  else for (const line of checkLines(checked)) session.out.line(line);
  return checked.sound ? 0 : WRONG;
}

export async function runDiskChain(session: Session, image: string, flags: DiskChainFlags): Promise<number> {
  const { setParent, anyParent = false } = flags;
  const folders = [...lookFor(flags).parentFolders];
  if (setParent !== undefined) {
    const changed = await setDiskParent({ child: image, parent: setParent, anyParent, ...lookFor(flags) });
    if (changed.outside !== undefined) folders.push(changed.outside);
    if (!flags.json) for (const line of parentChangedLines(changed)) session.out.line(line);
  } else if (anyParent) {
    throw new TransferError('E_USAGE', '--any-parent is for --set-parent', {
      hint: 'Give the parent, or leave it out.',
    });
  }
  const chain = await describeDisk(image, { ...lookFor(flags), parentFolders: folders });
  if (flags.json) session.out.json({ schema: 1, type: 'disk-chain', ...chain });
  else for (const line of chainLines(chain)) session.out.line(line);
  return chain.broken ? WRONG : 0;
}

export async function runDiskDigest(session: Session, image: string, flags: DiskDigestFlags): Promise<number> {
  const { of, sha256 = false, workers } = flags;
  const run = diskDigest({ image, of, sha256, ...lookFor(flags), ...(workers !== undefined && { workers }) });
  // One object is asked for, and no events.
  const reporter = await createReporter(session, 'hashing', { quiet: (flags.quiet || flags.json) ?? false });
  try {
    const result = await follow(run, reporter, session, { keeps: false });
    if (flags.json) session.out.json({ schema: 1, type: 'disk-digest', ...result });
    else for (const line of digestLines(result)) session.out.line(line);
    return 0;
  } catch (thrown) {
    if (!(thrown instanceof TransferError) || thrown.code !== 'E_STOPPED') throw thrown;
    session.err.line('blockferry: stopped before all was read; nothing was changed');
    return EXIT_INTERRUPTED;
  }
}
