/** What is to be known of an image and of the chain below it, without reading its data. */
import { diskBytes } from './disk-bytes.js';
import { heldIn } from './held-map.js';
import type { DiskFormat, DiskImage, ParentLink } from './image.js';
import { ChainError, type ChainOpener, type ChainRequest, type OpenedLink, openChain } from './open-chain.js';

export interface DiskDescription {
  /** The location, for people. */
  readonly name: string;
  readonly format: DiskFormat;
  /** Such as `dynamic` or `differencing`. */
  readonly kind: string;
  /** Bytes of the disk that a guest sees. */
  readonly size: number;
  /** Bytes of the file. */
  readonly fileBytes: number;
  /** Bytes of storage that the file takes, where that is known. */
  readonly storedBytes?: number;
  /** Bytes of the disk that this image holds itself, by its tables. */
  readonly heldBytes: number;
  /** Bytes of a block; 0: there are none. */
  readonly blockBytes: number;
  /** What a child must name to be a child of this image. */
  readonly identity?: string;
  readonly facts?: DiskImage['facts'];
  readonly parent?: ParentLink;
  /** Somebody on this machine has the file open for writing; absent: that cannot be told. */
  readonly openForWriting?: boolean;
}

export interface ChainDescription {
  /** The child first, as far as the chain could be opened. */
  readonly images: readonly DiskDescription[];
  /** Why the chain ends above its base. */
  readonly broken?: { readonly code: ChainError['problem']; readonly message: string; readonly hint?: string };
}

export interface DescribeHost extends ChainOpener {
  /** Whether somebody has it open for writing; undefined: that cannot be told. */
  readonly isWritten: (link: OpenedLink) => boolean | undefined;
}

/** @throws TransferError where the image itself cannot be opened; a chain without a base is an answer */
export async function describeChain(request: ChainRequest, host: DescribeHost): Promise<ChainDescription> {
  const images: DiskDescription[] = [];
  const onOpened = async (link: OpenedLink): Promise<void> => {
    images.push(await describe(link, host.isWritten(link)));
  };
  try {
    await (await openChain({ ...request, onOpened }, host)).close();
    return { images };
  } catch (thrown) {
    if (!(thrown instanceof ChainError)) throw thrown;
    const { problem: code, message, hint } = thrown;
    return { images, broken: { code, message, ...(hint !== undefined && { hint }) } };
  }
}

async function describe({ source, image }: OpenedLink, written: boolean | undefined): Promise<DiskDescription> {
  const { format, kind, size, blockBytes, identity, facts, parent } = image;
  let heldBytes = 0;
  for await (const held of heldIn(image, size)) if (held.kind === 'data') heldBytes += held.length;
  return {
    name: source.name,
    ...{ format, kind, size, fileBytes: diskBytes(source).size, heldBytes, blockBytes },
    ...(source.allocatedBytes !== undefined && { storedBytes: source.allocatedBytes }),
    ...(identity !== undefined && { identity }),
    ...(facts && { facts }),
    ...(parent && { parent }),
    ...(written !== undefined && { openForWriting: written }),
  };
}
