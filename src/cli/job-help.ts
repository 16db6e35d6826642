/** What the help of the job commands says behind their options; 80 columns, and examples last. */
import { SERVICE_GROUP, SERVICE_OPTIONS } from './service-flags.js';
import { YIELD_OPTIONS } from './yield-flags.js';

/** The options of `job create` and `job set`, under what they are about. */
export const JOB_GROUPS: Readonly<Record<string, readonly string[]>> = {
  'The job:': [
    '--name',
    '--priority',
    '--suspended',
    '--auto-complete',
    '--no-auto-complete',
    '--limit',
    '--finish-by',
    '--no-finish-by',
  ],
  'How its files are copied:': [
    ...['--overwrite', '--delta', '--preserve', '--read-back', '--algorithm', '--reflink', '--chunk-size', '--lanes'],
    ...['--no-sync', '--no-check'],
  ],
  'Others at the same storage:': [...YIELD_OPTIONS],
  'Errors:': ['--retry-delay', '--retry-delay-max', '--no-progress', '--max-time'],
  'Who is told:': ['--notify', '--no-notify', '--webhook', '--no-webhook', '--webhook-secret-file'],
  [SERVICE_GROUP]: [...SERVICE_OPTIONS],
  'What is told:': ['--json'],
};

export const JOB_HELP = `
A job is a list of files, each with its target. The service copies them while
nobody looks, goes on after errors and after a restart, and tells why a job
waits. When all files are whole and proven the job is "transferred"; "complete"
gives them their names, and with --auto-complete the job does so by itself.

Where a command takes a job, its id will do, the first characters of it (four at
least), or its name, if only one job is meant.

Examples:
  blockferry job create --name nightly /vms/disk.vhdx /backup/disk.vhdx
  blockferry job list
  blockferry job watch nightly
  blockferry job why nightly                   what it waits for
  blockferry job complete nightly
`;

export const JOB_CREATE_HELP = `
Paths are those of the host where the service runs; one that does not begin with
"/" is meant from the current folder. The service runs with its own rights and
its own environment: credentials for servers are looked for there.

Foreground jobs go first and are never held back by the limits of others; high
goes before normal, and normal before low. Jobs of one class share in turn.

With --finish-by a job takes only what it needs to be done in time, and leaves
the rest to others. Limits, windows and the queue hold as ever: where they leave
too little, that is told at once, and when it becomes late later on, then.

The program of --notify gets no shell: --notify /usr/bin/logger --notify done
runs "/usr/bin/logger done". A webhook is a POST of the event as JSON; with a
secret it is signed (docs/service.md).

Examples:
  blockferry job create /vms/disk.vhdx /backup/disk.vhdx
  blockferry job create --auto-complete --priority low --limit 50MiB \\
    /vms/a.vhdx /backup/a.vhdx /vms/b.vhdx s3://bucket/b.vhdx
  blockferry job create --suspended --name later disk.vhd /backup/
`;

export const JOB_ADD_HELP = `
Examples:
  blockferry job add nightly /vms/c.vhdx /backup/c.vhdx
`;

export const JOB_LIST_HELP = `
Examples:
  blockferry job list
  blockferry job list --only error,transient-error
  blockferry job list --all --json             for a script
`;

export const JOB_WATCH_HELP = `
It ends when the job is transferred, complete, cancelled or in error; the exit
code is what "copy" would have ended with, and 130 for a cancelled job. Ctrl-C
ends the watching and leaves the job as it is.

Examples:
  blockferry job watch 3f2a91c0
  blockferry job watch --quiet nightly && blockferry job complete nightly
`;

export const JOB_WHY_HELP = `
Examples:
  blockferry job why 3f2a91c0
`;

export const JOB_CANCEL_HELP = `
Files that have their names already stay.

Examples:
  blockferry job cancel 3f2a91c0
  blockferry job cancel --keep-partial nightly later
`;

export const JOB_COMPLETE_HELP = `
Files that are not transferred yet are let go of, and the job says how many. If
a name cannot be given, the job stays as it is; complete it again when the cause
is gone.

Examples:
  blockferry job complete 3f2a91c0
`;

export const JOB_SET_HELP = `
Only what is said is changed, and at once: also the limit of a job under way.

Examples:
  blockferry job set nightly --priority high --limit 0
  blockferry job set nightly --no-progress 3d --no-notify
`;

export const JOB_PREFIX_HELP = `
For sources that were moved. The job must wait, be suspended or be in error; it
prints how many files begin otherwise now.

Examples:
  blockferry job replace-prefix nightly /mnt/old/ /mnt/new/
`;

export const POLICY_HELP = `
The policy is a file, blockferry.toml in the state folder: rates by class and by
the hours of the week, how many jobs run at once, how long things are kept. The
service follows it while it runs, and refuses one that it cannot read with line
and column; then the old one stays.

Examples:
  blockferry policy show > policy.toml
  blockferry policy set policy.toml
`;

export const POLICY_SET_HELP = `
Examples:
  blockferry policy set policy.toml
  blockferry policy show | sed 's/= 12/= 4/' | blockferry policy set -
`;

export const TOP_HELP = `
What moves comes first, then what failed or waits to be completed, then what is
queued. It is drawn anew each second; Ctrl-C leaves, and the jobs go on.

Examples:
  blockferry top
  blockferry top --service https://host:7422 --token-file token
`;
