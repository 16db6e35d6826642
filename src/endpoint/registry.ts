/** What the file of a scheme offers. A missing member is an ability that the scheme does not have. */
import type { EndpointRef, Location, Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import type {
  CloneProbe,
  CommitRequest,
  PartMark,
  PreparedTarget,
  PrepareRequest,
  Target,
  TargetLayout,
  TargetSite,
} from '../core/target.js';
import type { TreeEnd } from '../core/tree.js';

/** Unfinished data on a server, without a name. */
export interface Leftover {
  /** What it was to become. */
  readonly name: string;
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly begunAtMs: number;
  /** There is a journal here of a copy which may go on with it. */
  readonly resumable: boolean;
  /** It is gone now. */
  readonly aborted: boolean;
}

export interface EndpointScheme {
  /** Opens and looks: size, version, abilities. @throws TransferError */
  openSource?(location: Location): Promise<Source>;
  /** Opens what stands under the name of a located target, which was laid out so. */
  openCommittedSource?(target: EndpointRef, layout?: TargetLayout): Promise<Source>;
  /** Attaches to an opened source from its ref, on any thread, without asking the storage. */
  attachSource?(ref: EndpointRef): Source | Promise<Source>;
  /**
   * Looks where a target would be; `sourceName` names a file inside a target that is a folder. Empty: somebody only
   * looks, and nothing is to be tried out there.
   */
  locateTarget?(location: Location, sourceName: string): Promise<TargetSite>;
  /** Whether a located target could share blocks with an opened source of any scheme; nothing is left behind. */
  probeClone?(source: EndpointRef, target: EndpointRef): CloneProbe;
  /** How a located target will lay out an opened source, or where. Absent: byte for byte. */
  layOutTarget?(source: Source, target: EndpointRef, chunkBytes: number): Promise<TargetLayout>;
  /** Makes or reopens the partial data of a located target. @throws TransferError E_PART_LOST */
  prepareTarget?(ref: EndpointRef, request: PrepareRequest): Promise<PreparedTarget>;
  /** Attaches to a prepared target from its ref, on any thread. */
  attachTarget?(ref: EndpointRef): Target | Promise<Target>;
  /** Removes the partial data of a located target, which was laid out so; harmless when there is none. */
  discardPartial?(ref: EndpointRef, layout?: TargetLayout): Promise<void>;
  /**
   * After a commit that a crash cut short: publishes or cleans up what is left, and says whether the target is whole.
   */
  finishCommit?(ref: EndpointRef, part: PartMark, request: CommitRequest): Promise<boolean>;
  /**
   * What was begun below a location and never finished. Aborts what was begun before and is not
   * {@link Leftover.resumable}. `layoutAt`: what the journal of that path says; undefined: nothing, or nothing yet.
   */
  leftovers?(
    location: Location,
    abortBeforeMs: number | undefined,
    layoutAt: (journalPath: string) => Promise<TargetLayout | undefined>,
  ): Promise<readonly Leftover[]>;
  /** Folders with all that is in them. */
  trees?(): Promise<TreeEnd>;
}

/** Loads the scheme's file the first time that it is asked for. */
export type Registry = Readonly<Record<string, () => EndpointScheme | Promise<EndpointScheme>>>;

export async function schemeOf(registry: Registry, scheme: string): Promise<EndpointScheme> {
  const load = Object.hasOwn(registry, scheme) ? registry[scheme] : undefined;
  if (load) return load();
  throw new TransferError('E_USAGE', `${scheme}:// is not a kind of location that this version knows`, {
    hint: `It knows paths, ${Object.keys(registry).join(', ')}. A path that begins so can be written as ./name.`,
  });
}

const ABILITIES: Readonly<Partial<Record<keyof EndpointScheme, string>>> = {
  trees: 'an end of a copy of folders, of several files, or with --dry-run',
  leftovers: 'asked for unfinished uploads',
};

/** The ability, or the error that says that this kind of location does not have it. */
export function ability<K extends keyof EndpointScheme>(
  scheme: EndpointScheme,
  name: string,
  key: K,
): NonNullable<EndpointScheme[K]> {
  const found = scheme[key];
  if (found) return found;
  const others = key.endsWith('Source') ? 'read from' : 'written to';
  const what = ABILITIES[key] ?? others;
  throw new TransferError('E_USAGE', `${name}: such a location cannot be ${what}`, {
    hint: 'Choose another location.',
  });
}
