/** What the help of the disk commands says behind their options; 80 columns, and examples last. */

export const DISK_HELP = `
Images are known by what is in them and not by their names. Nothing is changed
but by "merge" and "chain --set-parent". An image that builds on another one,
its parent, is read together with it; the parent must be the one that it was
made on, as far as its format tells.

Examples:
  blockferry disk info disk.vhdx
  blockferry disk map disk.qcow2
  blockferry disk check disk.vhd && echo sound
  blockferry disk merge snapshot.vhdx          into its parent
`;

export const DISK_INFO_HELP = `
Examples:
  blockferry disk info disk.vhdx
  blockferry disk info --json https://host/disk.qcow2
`;

export const DISK_MAP_HELP = `
Each character of the picture stands for one part of the disk: a digit for
data, by the image that holds it (0 is the one that was asked about, 1 its
parent), "o" for what is known to be zero, "." for what was never written. A
part that is mostly empty is shown as data when it has any.

Examples:
  blockferry disk map disk.vhdx
  blockferry disk map --list snapshot.qcow2    every extent, and whose it is
  blockferry disk map --svg disk.svg disk.vhdx
`;

export const DISK_CHECK_HELP = `
Exit code 0: nothing is wrong; what is doubtful is listed. Exit code 4:
something is wrong. Each finding has a code that stays what it is
(docs/disks.md).

Examples:
  blockferry disk check disk.vhdx
  blockferry disk check --json snapshot.qcow2
`;

export const DISK_CHAIN_HELP = `
Exit code 0: the chain is whole. Exit code 4: a parent is missing, or is not
the one that the image was made on.
--set-parent writes a new place of the parent into the image. The file there
must be the same disk as before, by its identity where the format has one (VHD,
VHDX).

Examples:
  blockferry disk chain snapshot.vhdx
  blockferry disk chain --set-parent /vms/base.vhdx snapshot.vhdx
`;

export const DISK_MERGE_HELP = `
What the image holds is written into its parent; then the image is removed.
Until the parent is whole and durable the image is what it was, so the disk
reads the same at every moment, and after an interruption, kill -9 and power
cuts included, the same command goes on. A small file beside the image
(.NAME.blockferry-merge) remembers what the images do not tell; leave it where
it is.

Nobody may use the images meanwhile. The parent is another disk afterwards:
other images that build on it would be wrong, so they are looked for in the
folders of both, and if there are any the merge is refused (--break-others: go
on, for images that nobody needs). Images that build on the merged one, found
there too, are re-pointed to the parent. What is kept in other folders is not
known: see first.

Examples:
  blockferry disk merge snapshot.vhdx          one step, into its parent
  blockferry disk merge --all snapshot.vhdx    the whole chain, into its base
  blockferry disk merge --into base.qcow2 snapshot.qcow2
`;

export const DISK_DIGEST_HELP = `
container: the bytes of the file, with all its tables. It changes when the file
is copied into another format, or written to by anything.
content: the bytes that a guest sees, through all images of the chain. Two
images of one disk have the same, in whatever format they are.
The xxh64 is the root that copy and verify print of the file, or of the raw
disk; the SHA-256 is what sha256sum says of them.

Examples:
  blockferry disk digest disk.vhdx
  blockferry disk digest --of content --sha256 snapshot.qcow2
`;
