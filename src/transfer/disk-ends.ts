/**
 * Disks as ends of a copy, in containers at any location: the guest's content of an image and its parents as a source,
 * and a new image as a target. The containers are opened, written and named by the schemes of their locations.
 */
import { CHUNK_BYTES_DEFAULT } from '../core/chunk.js';
import { type EndpointRef, inTheMannerOf, type Location, type Source } from '../core/endpoint.js';
import { TransferError } from '../core/errors.js';
import { NEVER } from '../core/stop.js';
import type {
  CommitRequest,
  PartMark,
  PreparedTarget,
  PrepareRequest,
  Target,
  TargetLayout,
  TargetSite,
} from '../core/target.js';
import { diskBytes } from '../disk/disk-bytes.js';
import { DISK_SCHEME, type DiskToRead, type DiskToWrite, readDiskLocation } from '../disk/disk-location.js';
import { attachDiskSource, diskSource, formatOf } from '../disk/disk-source.js';
import { formatOfName, openImage } from '../disk/formats.js';
import type { LayoutKind } from '../disk/layout.js';
import { decodePlan, encodePlan, planLayout } from '../disk/layout-plan.js';
import { LayoutTarget, type LayoutTargetRef } from '../disk/layout-target.js';
import { FLATTENED, LAYOUTS, nameLaidOut } from '../disk/layouts.js';
import { type ChainRequest, type OpenedLink, openChain } from '../disk/open-chain.js';
import { parseLocation } from '../endpoint/location.js';
import { ability, type EndpointScheme, type Registry, schemeOf } from '../endpoint/registry.js';

/** A located target: the container's, and what it is to be. */
interface LocatedRef extends EndpointRef {
  readonly container: EndpointRef;
  readonly kind: DiskToWrite['layout'];
  /** For people. */
  readonly name: string;
}

export function diskScheme(registry: Registry): EndpointScheme {
  const containers = new Containers(registry);
  return {
    openSource: async (location) => {
      const { container, ...request } = readDiskLocation<DiskToRead>(location);
      return (await openDisk({ location: container, ...request }, containers)).source;
    },
    openCommittedSource: (ref, layout) => openCommitted(ref as LocatedRef, layout, containers),
    attachSource: (ref) => attachDiskSource(ref, (container) => containers.attach(container)),
    locateTarget: (location, sourceName) => locate(readDiskLocation(location), sourceName, containers),
    probeClone: () => ({ refused: 'a disk that is laid out anew shares no blocks' }),
    layOutTarget: async (source, ref) => {
      const { kind, name } = ref as LocatedRef;
      const layout = kind === 'flattened' ? FLATTENED[formatOf(source.ref)] : kind;
      assertNamed(name, layout);
      return encodePlan(await planLayout(layout, source, NEVER));
    },
    prepareTarget: (ref, request) => prepare(ref as LocatedRef, request, containers),
    attachTarget: (ref) => attachTarget(ref as LayoutTargetRef, containers),
    discardPartial: (ref) => containers.discard((ref as LocatedRef).container),
    finishCommit: (ref, part, request) => containers.finishCommit((ref as LocatedRef).container, part, request),
  };
}

/** What the schemes of the containers can do. */
class Containers {
  readonly #registry: Registry;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async open(location: Location): Promise<Source> {
    const scheme = await schemeOf(this.#registry, location.scheme);
    const source = await ability(scheme, location.name, 'openSource')(location);
    if (!source.oneChunk || source.size <= CHUNK_BYTES_DEFAULT) return source;
    await source.close();
    throw new TransferError('E_NO_RANGES', `${source.name} comes in one stream: no disk can be read from it`, {
      hint: 'Copy the file first, with --no-resume-ok, and use the copy.',
    });
  }

  async attach(ref: EndpointRef): Promise<Source> {
    return (await this.ability(ref, 'attachSource'))(ref);
  }

  async locate(location: Location, sourceName: string): Promise<TargetSite> {
    const scheme = await schemeOf(this.#registry, location.scheme);
    return ability(scheme, location.name, 'locateTarget')(location, sourceName);
  }

  async discard(ref: EndpointRef): Promise<void> {
    await (await this.ability(ref, 'discardPartial'))(ref);
  }

  async finishCommit(ref: EndpointRef, part: PartMark, request: CommitRequest): Promise<boolean> {
    const { finishCommit } = await schemeOf(this.#registry, ref.scheme);
    return (await finishCommit?.(ref, part, request)) ?? false;
  }

  async ability<K extends keyof EndpointScheme>(ref: EndpointRef, key: K): Promise<NonNullable<EndpointScheme[K]>> {
    return ability(await schemeOf(this.#registry, ref.scheme), `${ref.scheme}://`, key);
  }
}

/** An image and all that it builds on, from any location; closing the source closes all of them. */
export function openDiskSource(request: ChainRequest, registry: Registry): Promise<OpenedDisk> {
  return openDisk(request, new Containers(registry));
}

interface OpenedDisk {
  readonly links: readonly OpenedLink[];
  readonly source: Source;
}

async function openDisk(request: ChainRequest, containers: Containers): Promise<OpenedDisk> {
  const open = (location: Location): Promise<Source> => containers.open(location);
  const { links, close } = await openChain(request, { open, locate: parseLocation });
  try {
    return { links, source: await diskSource(links) };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** What was made is known to be whole and to stand alone, and of which format it is. */
async function openCommitted(
  { container }: LocatedRef,
  layout: TargetLayout | undefined,
  containers: Containers,
): Promise<Source> {
  const format = layout && LAYOUTS[decodePlan(layout).kind].format;
  const source = await (await containers.ability(container, 'openCommittedSource'))(container);
  try {
    const bytes = diskBytes(source);
    return await diskSource([{ source, bytes, image: await openImage(bytes, format) }]);
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

async function locate(
  { container, layout: kind }: DiskToWrite,
  sourceName: string,
  containers: Containers,
): Promise<TargetSite> {
  const site = await containers.locate(container, nameLaidOut(sourceName, kind));
  if (site.publish === 'in-place' && kind !== 'raw') {
    throw new TransferError('E_USAGE', `${site.name} is a device: it holds the content of a disk, and no image of it`, {
      hint: 'Say --to raw. Nothing was changed.',
    });
  }
  if (site.wholeChunks) {
    throw new TransferError('E_USAGE', `${site.name} takes only whole chunks: no disk can be laid out in it`, {
      hint: 'Lay it out at a path, or at sftp://, webdav:// or peer://, and copy that. Nothing was changed.',
    });
  }
  const ref: LocatedRef = { scheme: DISK_SCHEME, container: site.ref, kind, name: site.name };
  const { adopts: _, ...place } = site;
  return { ...place, ref, laysOut: true };
}

/** Many programs go by the name, and whoever flattens a qcow2 may expect one. */
function assertNamed(name: string, kind: LayoutKind): void {
  const { format, extension } = LAYOUTS[kind];
  const called = formatOfName(name);
  if (!called || called === format) return;
  const what = format === 'raw' ? 'raw disk' : format.toUpperCase();
  throw new TransferError('E_USAGE', `${name} would be a ${what}, and its name says ${called}`, {
    hint: `Give it a name that ends with ${extension}, or say with --to what it is to be. Nothing was changed.`,
  });
}

/** A partial keeps the layout that it began with, and so must be of the kind that is asked for. */
async function prepare(
  { container, kind }: LocatedRef,
  { layout, ...request }: PrepareRequest,
  containers: Containers,
): Promise<PreparedTarget> {
  const plan = layout && decodePlan(layout);
  const asked = kind === 'flattened' ? plan?.kind : kind;
  if (!plan || plan.kind !== asked || plan.size !== request.size) {
    const what = plan ? `is laid out as ${plan.kind}` : 'is of another kind of copy';
    throw new TransferError(
      'E_PART_OTHER_SOURCE',
      `the partial copy ${what}; now ${asked ?? 'a new disk'} is asked for`,
      {
        hint: 'Nothing was mixed. --discard throws the partial away; the command that began it goes on with it.',
      },
    );
  }
  const { fileBytes } = (await LAYOUTS[plan.kind].load()).layOut(plan);
  const prepared = await (await containers.ability(container, 'prepareTarget'))(container, {
    ...request,
    size: fileBytes,
  });
  const ref: LayoutTargetRef = { scheme: DISK_SCHEME, container: prepared.ref, plan };
  return { ...prepared, ref };
}

async function attachTarget(layout: LayoutTargetRef, containers: Containers): Promise<Target> {
  const { container, plan } = layout;
  const ref = inTheMannerOf(layout, container);
  const target = await (await containers.ability(ref, 'attachTarget'))(ref);
  return new LayoutTarget(target, await LAYOUTS[plan.kind].load(), plan);
}
