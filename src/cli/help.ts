/**
 * What the help says behind the options, and how it groups them. Texts keep to 80 columns, and end in examples: the man
 * page takes them from here too.
 */
import type { Command, Option } from 'commander';
import { HTTP_GROUP, HTTP_OPTIONS } from './http-flags.js';
import { JOB_GROUPS } from './job-help.js';
import { SERVICE_GROUP } from './service-flags.js';
import { YIELD_OPTIONS } from './yield-flags.js';

export const EXAMPLES = `
Examples:
  blockferry copy disk.vhd /backup/            copy, or go on with an
                                               interrupted copy
  blockferry copy -r vms/ /backup/vms          a whole folder
  blockferry copy --limit 50MiB disk.vhd /backup/
  blockferry copy --background disk.vhd /backup/  as a job of the service
  blockferry job list                          what the service copies, and why
                                               a job waits
  blockferry verify /backup/disk.vhd disk.vhd  compare every byte
  blockferry status /backup/disk.vhd           how far an interrupted copy got
  blockferry bench /vms /backup                what these two could do, and the
                                               best settings
  blockferry disk info disk.vhdx               what is in a disk image

Exit codes: 0 done, 1 bug, 2 not possible as asked, 3 reading, writing or the
network failed, 4 different or damaged, 5 journal or jobs, 130 interrupted
(finished work is kept). Where the output itself cannot be written, what would
be 0 is 3, and the work is done all the same.
`;

export const COPY_HELP = `
The target appears under its name whole and proven, or not at all. After an
interruption the same command goes on where it stopped. With --overwrite the new
file gets the owner and permissions of the old one, or with --preserve those of
the source; a symbolic link is replaced, not followed. A location that begins
with "-" goes behind "--".

Folders (-r): "copy -r vms /backup" makes /backup/vms, "copy -r vms/ /backup"
puts what is in vms into /backup. The same command again skips what is finished
and unchanged, and refuses what was changed since unless --overwrite is said.
Links below a source stay links, one that is named itself is followed; hard
links become files of their own. --preserve is for what is copied: files that
are finished already keep what they have.
A glob without a slash is a name at any depth ("*.log", "cache"); one with a
slash is a path below the source ("/logs/*.gz", "a/**"). A folder that matches
stands for all that is in it. --exclude wins over --include; a file that is
named itself is always copied.

A disk image is copied as the file it is. --to makes a new one of what the guest
sees of it: only what is allocated is copied, the size stays to the byte, and
digests are of the content, not of the file. Whether a file is a VHD, a VHDX or
a qcow2 is told by what is in it; all others are raw. An image that builds on
others is refused without --flatten; the others are found beside it, and
elsewhere only what it knows by an identity, or what is in a folder that
--parents names. What looks like a disk image is checked before it is copied,
and the copy before it gets its name: a damaged one is refused without
--no-check.

Locations are paths, or https://host/file, s3://bucket/key,
sftp://user@host/path, webdavs://host/path and peer://host/NAME/path, in any
pair; docs/ has a page for each. --delta (with --overwrite) takes over from the
target, at a path or at a peer, the chunks that are the same, and sends only the
others.

With --yield a copy takes only what others leave of the same disks and links:
gentle gives way first, greedy last; --protect latency=5ms gives way so that
their requests take no longer. A trickle always flows. docs/background.md tells
how, and what was measured.

With --finish-by a copy takes only what it needs to be done by then, a tenth of
the time (at most half an hour) kept back, and leaves the rest to others; it is
never faster than --limit. That it will be late is told as soon as it shows.

With --background the service ("blockferry serve") makes the copy as a job that
completes by itself, and this command only prints its id.

Credentials for a web server come from its URL, from a netrc file (NETRC, or
~/.netrc), from --token-file or the variable BLOCKFERRY_HTTP_TOKEN, or from a
header, and go to that server alone. Arguments can be seen by everybody on this
machine: "--header @FILE" keeps a secret out of them. HTTP_PROXY, HTTPS_PROXY,
ALL_PROXY and NO_PROXY say which proxy stands between. Without byte ranges a
server is good for files of up to 8 MiB; with --no-resume-ok also for larger
ones, but a copy that is stopped begins again.

Examples:
  blockferry copy disk.vhd /backup/            into a folder, under its name
  blockferry copy disk.vhd /backup/monday.vhd  under another name
  blockferry copy -r --preserve vms/ /backup/vms
  blockferry copy -r --exclude '*.log' --dry-run vms/ /backup/vms
  blockferry copy --finish-by 06:00 disk.vhd /backup/
  blockferry copy --limit 400Mbit https://host/disk.vhd disk.vhd
  blockferry copy --header @secret.txt https://host/disk.vhd disk.vhd
  blockferry copy --read-back --overwrite disk.vhd /backup/disk.vhd
  blockferry copy --manifest disk.manifest disk.vhd /backup/
  blockferry copy --explain disk.vhd /backup/  and where the time went
  blockferry copy --to vhdx disk.qcow2 disk.vhdx
  blockferry copy --flatten child.avhdx whole.vhdx
`;

export const VERIFY_HELP = `
Exit code 0: the same bytes. Exit code 4: they differ, and the differing ranges
are listed. With --manifest a file is compared chunk by chunk, and a folder file
by file; what else is in the folder is counted and no failure. Symbolic links in
a folder are not followed. With --content two disk images are compared by what
their guests see, whatever their formats; a manifest says itself what it is of.
--receipt says whether the receipt of a migration is what its service has
signed; with --signed-by, whether it was the service with that key.

Examples:
  blockferry verify /backup/disk.vhd disk.vhd
  blockferry verify --content disk.raw disk.vhdx
  blockferry verify --quiet /backup/disk.vhd disk.vhd && rm disk.vhd
  blockferry verify -r /backup/vms vms/
  blockferry verify --manifest vms.manifest /backup/vms
  blockferry verify --receipt web-receipt.json
`;

export const STATUS_HELP = `
Exit code 0: there is a partial copy or a target, and this says which. Exit code
2: there is neither.

Examples:
  blockferry status /backup/disk.vhd
  blockferry status --json /backup/disk.vhd    for a script
`;

export const LEFTOVERS_HELP = `
An upload to a bucket that was interrupted for good has no name, but its parts
are kept, and paid for. The server does not say which program began one, so look
before you abort: another program may still be at work. What a journal on this
machine can go on with is marked, and never aborted; "copy --discard" does that.

Examples:
  blockferry leftovers s3://bucket/vms/
  blockferry leftovers --abort --older-than 7 s3://bucket
`;

export const BENCH_HELP = `
A folder is measured by a scratch file that is made in it, and removed however
this ends; two locations are also copied with the engine itself, from the first
to the second, which must be a folder. Files, devices and URLs are only ever
read. What is read is dropped from the page cache, so that the storage is
measured. No more than --size is written in all; more than 1 GiB is asked about
first.

Examples:
  blockferry bench /backup                     read, write, sync and hash there
  blockferry bench /vms /backup                each of them, then copies from
                                               one to the other
  blockferry bench disk.vhd /backup            with your file as the source
  blockferry bench --size 16GiB --seconds 5 --yes /backup
  blockferry bench --svg backup.svg https://host/disk.vhd /backup
`;

export const COMPLETION_HELP = `
Examples:
  eval "$(blockferry completion bash)"         in ~/.bashrc
  eval "$(blockferry completion zsh)"          in ~/.zshrc, behind compinit
  blockferry completion fish > ~/.config/fish/completions/blockferry.fish
`;

/** The options of a copy, under what they are about. */
const COPY_GROUPS: Readonly<Record<string, readonly string[]>> = {
  'What is copied:': ['--recursive', '--include', '--exclude', '--preserve', '--dry-run'],
  'The target:': ['--overwrite', '--delta', '--discard'],
  'Disk images:': ['--to', '--flatten', '--parents', '--no-check'],
  'Proof:': ['--read-back', '--checksum', '--algorithm', '--manifest'],
  'Speed:': ['--limit', '--finish-by', '--workers', '--lanes', '--chunk-size', '--reflink', '--no-sync'],
  'Others at the same storage:': [...YIELD_OPTIONS],
  [HTTP_GROUP]: [...HTTP_OPTIONS, '--no-resume-ok'],
  'In the background:': ['--background', '--state'],
  'What is told:': ['--explain', '--json', '--quiet'],
};
/** Commands that have many options. */
const GROUPED: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'blockferry copy': COPY_GROUPS,
  'job create': JOB_GROUPS,
  'job set': JOB_GROUPS,
};
const HELP_COLUMNS = 80;
/** Texts are wrapped as long as they have so many columns. */
const TEXT_COLUMNS_MIN = 30;

/** At every width of the terminal, of all commands: texts are easier to read so, and the same everywhere. */
export function arrangeHelp(program: Command): void {
  program.configureHelp({ helpWidth: HELP_COLUMNS, minWidthToWrap: TEXT_COLUMNS_MIN });
  for (const command of program.commands) arrangeHelp(command);
  for (const command of program.commands) {
    const groups = GROUPED[`${program.name()} ${command.name()}`];
    if (groups) group(command, groups);
    else serviceLast(command);
  }
}

/** What a command is about stands before where the service is. */
function serviceLast(command: Command): void {
  const last = ({ helpGroupHeading: heading }: Option): number => (heading === SERVICE_GROUP ? 1 : 0);
  (command.options as Option[]).sort((one, other) => last(one) - last(other));
}

/** Sorts the options as well, since groups are shown in the order in which they are met. */
function group(command: Command, groups: Readonly<Record<string, readonly string[]>>): void {
  const headings = Object.keys(groups);
  const groupOf = ({ long }: Option): number => headings.findIndex((heading) => groups[heading]?.includes(long ?? ''));
  const options = command.options as Option[];
  options.sort((one, other) => groupOf(one) - groupOf(other));
  for (const option of options) option.helpGroup(headings[groupOf(option)] ?? 'Options:');
}
