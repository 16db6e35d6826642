/** Whether a partial copy is of this very source: its version tells, and where it is weak, more must be proven. */

import { TransferError } from '../core/errors.js';
import type { TargetSite } from '../core/target.js';
import type { JournalContent } from '../journal/journal.js';
import type { SourceInfo } from './requests.js';

export function isSameSource({ header }: JournalContent, { version, size }: SourceInfo): boolean {
  const { sourceVersion } = header;
  return sourceVersion.strength === version.strength && sourceVersion.value === version.value && header.size === size;
}

/** Of a source without a version, or one whose modification time may have been put back, the version tells nothing. */
export function mayHaveChanged({ header }: JournalContent, { version }: SourceInfo): boolean {
  return version.strength === 'none' || header.sourceVersion.changedNs !== version.changedNs;
}

/** @throws TransferError E_PART_OTHER_SOURCE */
export function assertSameSource(content: JournalContent, source: SourceInfo, site: TargetSite): void {
  if (isSameSource(content, source)) return;
  const { header } = content;
  const kept = `the partial copy of ${site.name} is of ${header.sourceName} (${header.sourceVersion.value})`;
  throw new TransferError('E_PART_OTHER_SOURCE', `${kept}; now there is ${source.name} (${source.version.value})`, {
    hint: 'The source changed or is another one; nothing was mixed. --discard throws the partial away.',
  });
}
