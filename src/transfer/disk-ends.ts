/**
 * Disks as ends of a copy: the guest's content of an image that lies at any location, as a source. The containers are
 * opened by the schemes of their locations.
 */
import type { EndpointRef, Location, Source } from '../core/endpoint.js';
import { type DiskToRead, readDiskLocation } from '../disk/disk-location.js';
import { attachDiskSource, diskSource } from '../disk/disk-source.js';
import { openChain } from '../disk/open-chain.js';
import { parseLocation } from '../endpoint/location.js';
import { ability, type EndpointScheme, type Registry, schemeOf } from '../endpoint/registry.js';

export function diskScheme(registry: Registry): EndpointScheme {
  return {
    openSource: (location) => openSource(readDiskLocation(location), registry),
    attachSource: (ref) => attachDiskSource(ref, (container) => attachContainer(container, registry)),
  };
}

async function openSource({ container, ...request }: DiskToRead, registry: Registry): Promise<Source> {
  const open = (location: Location): Promise<Source> => openContainer(location, registry);
  const chain = await openChain({ location: container, ...request }, { open, locate: parseLocation });
  try {
    return await diskSource(chain.links);
  } catch (thrown) {
    await chain.close();
    throw thrown;
  }
}

async function openContainer(location: Location, registry: Registry): Promise<Source> {
  const scheme = await schemeOf(registry, location.scheme);
  return ability(scheme, location.name, 'openSource')(location);
}

async function attachContainer(container: EndpointRef, registry: Registry): Promise<Source> {
  const scheme = await schemeOf(registry, container.scheme);
  return ability(scheme, container.scheme, 'attachSource')(container);
}
