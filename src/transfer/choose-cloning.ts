/** Whether a copy shares the blocks of its source. */
import type { TargetSite } from '../core/target.js';
import type { ChunkRunner } from './chunk-runner.js';
import { cannotClone } from './copy-chunk.js';
import type { OpenRequest } from './opening.js';
import type { SourceInfo } from './requests.js';

/** Whether to share blocks, and whether it is certain that this will take next to no space. */
export interface Cloning {
  readonly clone: 'auto' | 'always' | undefined;
  readonly spaceless: boolean;
}

/** Asked before anything is written, so that `always` fails early and `auto` never tries in vain. */
export async function chooseCloning(
  { reflink = 'auto' }: OpenRequest,
  { source, site }: { readonly source: SourceInfo; readonly site: TargetSite },
  runner: ChunkRunner,
): Promise<Cloning> {
  if (reflink === 'never') return { clone: undefined, spaceless: false };
  const probe = await runner.run('probe-clone', { source: source.ref, target: site.ref });
  if (typeof probe === 'string') return { clone: reflink, spaceless: probe === 'shares' || reflink === 'always' };
  if (reflink === 'always') throw cannotClone(source.name, probe.refused);
  return { clone: undefined, spaceless: false };
}
