/** What `--preserve` keeps of a source, read before the first byte: reading a file may change its time of access. */
import type { Clock } from '../core/clock.js';
import type { FileAttributes, FileTimes } from '../core/endpoint.js';
import type { EventBody } from '../core/events.js';
import type { ChunkRunner } from './chunk-runner.js';
import type { SourceInfo } from './requests.js';

export interface Kept {
  readonly attributes?: FileAttributes;
  /** Those of the attributes, or all that is known. */
  readonly times?: FileTimes;
}

export async function readKept(
  { ref, name, modifiedNs }: SourceInfo,
  parts: { readonly runner: ChunkRunner; readonly clock: Clock; readonly emit: (event: EventBody) => void },
): Promise<Kept> {
  const attributes = await parts.runner.run('source-attributes', { ref });
  if (attributes) return { attributes, times: attributes };
  const but = modifiedNs === undefined ? '' : ' but its time';
  parts.emit({ type: 'note', message: `--preserve: ${name} has no attributes that could be kept${but}` });
  if (modifiedNs === undefined) return {};
  return { times: { accessedNs: `${parts.clock.wallMs()}000000`, modifiedNs } };
}
