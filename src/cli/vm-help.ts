/** What the help of the machine commands says behind their options; 80 columns, and examples last. */

export const VM_HELP = `
QEMU keeps no list of its machines, so Blockferry does: each is described by a
JSON file (docs/migration.md says what it holds), and runs in a process of its
own that outlives this command. The list is in the state folder of the service.

Where a command takes a machine, its id will do, the first characters of it
(four at least), or its name, if only one machine is meant.

Examples:
  blockferry vm add web.json
  blockferry vm list
  blockferry vm start web
  blockferry vm export web /backup/web-monday
  blockferry migrate plan web --to /vms/fast   to move it while it runs
`;

export const VM_ADD_HELP = `
Nothing is started, and no image is looked at before the machine is.

Examples:
  blockferry vm add web.json
  blockferry vm info --json web | jq .vm | blockferry vm add -
                                               what a description looks like
`;

export const VM_START_HELP = `
It starts from the very images of its description. With --from it goes on from a
saved state, such as an import has brought: it stands still then, and goes on
when the state was compared and loaded. Its memory fits only the disks that it
was saved with.

Examples:
  blockferry vm start web
  blockferry vm start web --from /vms/5f0c1a2b-memory.state --sha256 HEX
`;

export const VM_STOP_HELP = `
The guest is not asked: for it this is a power cut. Shut it down from inside to
stop it in order.

Examples:
  blockferry vm stop web
`;

export const VM_REMOVE_HELP = `
It must be off. Its images stay where they are.

Examples:
  blockferry vm remove web
`;

export const VM_EXPORT_HELP = `
The folder appears under its name whole, or not at all; export.json in it names
every file with its size and SHA-256. A machine that is off is exported as it
is; one that is saved with its memory. One that runs goes on running: a snapshot
is made, what stands still since then is copied, and the snapshot is merged
again. Its disks are as after a power cut, and its memory is not in the export.

--snapshot exports what the disks held when a snapshot was made: 1 is the first
image of each disk, 2 the first two. --flatten makes one image of each chain.
--configuration exports the description alone.

Examples:
  blockferry vm export web /backup/web-monday
  blockferry vm export --snapshot 1 --flatten web /backup/web-before
  blockferry vm export --configuration web /backup/web-description
`;

export const VM_IMPORT_HELP = `
With --in-place the files of the export become the machine's own, where they
are. With --to or --disk they are copied, and the export stays good for another
import. Every file is compared with the SHA-256 of the export before there is a
machine; what is damaged, missing or no plain file is refused by its name. An
import that fails leaves nothing.

Of an export of the configuration alone, --to and --disk say where the images
are; with --in-place they are where they were.

Examples:
  blockferry vm import --in-place /backup/web-monday
  blockferry vm import --to /vms/web2 --new-id --name web2 /backup/web-monday
  blockferry vm import --to /vms --disk d1=/vms/fast /backup/web-monday
`;
