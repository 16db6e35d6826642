/** What the help of the migrate commands says behind their options; 80 columns, and examples last. */

export const MIGRATE_HELP = `
A machine moves to other storage while its guest runs. A snapshot is made, and
what stands still since then is copied; then the guest stands still for a
moment, while the rest and its memory follow. Every file is proven before the
machine is started at the target, and until then it can always go on at the
source. The service does it: it must run (blockferry serve).

Where a command takes a migration, its id will do, the first characters of it
(four at least), or the name of its machine.

Examples:
  blockferry migrate plan web --to /vms/fast   sizes, steps, and how long web
                                               would stand still
  blockferry migrate start web --to /vms/fast --max-blackout 2s
  blockferry migrate watch web
  blockferry migrate abort web                 web stays where it is
`;

export const MIGRATE_PLAN_HELP = `
Nothing is changed. Exit code 2: something is in the way, and it is told.

Examples:
  blockferry migrate plan web --to /vms/fast
  blockferry migrate plan web --to /vms --disk d1=/vms/fast --json
`;

export const MIGRATE_START_HELP = `
It prints the id of the migration, which goes on by itself. With --max-blackout
it asks before the guest would stand still for longer: "cutover" then says that
it may, and "abort" that it may not. With --prepare all is copied but the rest,
and "cutover" says when.

Another host is known by "blockferry peer add", with a token of the rights vm
and write. Folders are its own then: /ROOT/folder, by the name of a root.

Examples:
  blockferry migrate start web --to /vms/fast
  blockferry migrate start web --to /vms/fast --max-blackout 2s --watch
  blockferry migrate start web --to /vms/fast --prepare --keep-source
  blockferry migrate start web --to-host peer://other/images/web --watch
`;

export const MIGRATE_CUTOVER_HELP = `
For a migration that is prepared, that asks, or that has failed: the step that
failed is tried again.

Examples:
  blockferry migrate cutover web
  blockferry migrate cutover --max-blackout 10s 3f2a91c0
  blockferry migrate cutover --anyway web      however long it stands still
`;

export const MIGRATE_ABORT_HELP = `
The machine goes on at the source, what was copied is removed, and its snapshot
is merged. Once the machine belongs to the target there is no way back, and this
says so.

Examples:
  blockferry migrate abort web
`;

export const MIGRATE_STATUS_HELP = `
Without a migration it lists those that are not over; --all lists all.

Examples:
  blockferry migrate status
  blockferry migrate status web
  blockferry migrate status --all --json       for a script
`;

export const MIGRATE_WATCH_HELP = `
It ends when nothing more happens by itself. Exit code 0: the machine is at the
target, or all is prepared. 130: the migration was aborted; else what its error
says. Ctrl-C ends the watching, and not the migration.

Examples:
  blockferry migrate watch web
`;

export const MIGRATE_RECEIPT_HELP = `
JSON on the standard output: every step with its times, every file with its size
and digest, the measured blackout; signed by the service (Ed25519).

Examples:
  blockferry migrate receipt web > web-receipt.json
  blockferry verify --receipt web-receipt.json
`;
