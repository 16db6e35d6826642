/** The paths that a description has, put in other words: another host calls the same file by another path. */
import type { VmDescription } from './vm.js';

/** All files that the machine reads or writes. */
export function mapPaths(vm: VmDescription, to: (path: string) => string): VmDescription {
  const { kernel, consoleLog } = vm;
  const disks = vm.disks.map((disk) => ({
    ...disk,
    chain: disk.chain.map((image) => ({ ...image, path: to(image.path) })),
  }));
  return {
    ...vm,
    disks,
    ...(kernel && {
      kernel: {
        ...kernel,
        image: to(kernel.image),
        ...(kernel.initrd !== undefined && { initrd: to(kernel.initrd) }),
      },
    }),
    ...(consoleLog !== undefined && { consoleLog: to(consoleLog) }),
  };
}

export function imagePaths({ disks }: VmDescription): string[] {
  return disks.flatMap(({ chain }) => chain.map(({ path }) => path));
}
