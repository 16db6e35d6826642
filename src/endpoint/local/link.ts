/** One symbolic link of a tree, copied as a link: made under its name, or beside it where it replaces something. */
import { readlinkSync } from 'node:fs';
import { errnoOf, TransferError } from '../../core/errors.js';
import { applyLinkAttributes, readLinkAttributes } from '../../platform/attributes.js';
import type { FileLayer } from '../../platform/file-layer.js';
import { type PathBytes, showPath } from '../../platform/path-bytes.js';
import { localError } from './errors.js';
import { targetExists } from './part.js';

/** The bytes that the link leads to. @throws TransferError E_SOURCE_CHANGED, E_SOURCE_MISSING */
export function readLink(from: PathBytes, shown: string): Buffer {
  try {
    return readlinkSync(from, { encoding: 'buffer' });
  } catch (thrown) {
    if (errnoOf(thrown) !== 'EINVAL') throw localError('open-source', shown, thrown);
    throw new TransferError('E_SOURCE_CHANGED', `${showPath(shown)} is no link any more`, {
      hint: 'It was left out; the same command copies what it is now.',
    });
  }
}

export interface NewLink {
  readonly text: Buffer;
  readonly from: PathBytes;
  readonly to: PathBytes;
  /** For people. */
  readonly shown: string;
  /** A hidden name: the link gets its own once it is whole. */
  readonly part: PathBytes;
  /** It is to take the place of something. */
  readonly replaces: boolean;
  readonly preserve: boolean;
}

/** Answers what could not be kept, in sentences. @throws TransferError E_TARGET_EXISTS and others */
export function makeLink(files: FileLayer, link: NewLink): string[] {
  const { text, to, shown, replaces, preserve } = link;
  try {
    if (!preserve && !replaces) files.symlinkSync(text, to);
    return preserve || replaces ? makeHidden(files, link) : [];
  } catch (thrown) {
    throw errnoOf(thrown) === 'EEXIST' ? targetExists(shown) : localError('open-target', shown, thrown);
  }
}

function makeHidden(files: FileLayer, { text, from, to, shown, part, replaces, preserve }: NewLink): string[] {
  files.symlinkSync(text, part);
  try {
    const notKept = preserve ? applyLinkAttributes(part, readLinkAttributes(from)) : [];
    if (replaces) files.renameSync(part, to);
    else if (files.publishNew(part, to) === 'exists') throw targetExists(shown);
    return notKept;
  } catch (thrown) {
    // Something else may stand there by now, which is nobody's to remove.
    if (files.lstat(part)?.isSymbolicLink()) files.unlinkSync(part);
    throw thrown;
  }
}
