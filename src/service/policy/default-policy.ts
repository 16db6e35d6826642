/** The rules that hold where nobody wrote others: as a value, and as the file that says the same, with the reasons. */
import type { Policy } from './policy.js';

export const DEFAULT_POLICY: Policy = {
  jobsAtOnce: 12,
  foregroundAtOnce: 8,
  filesAtOnce: 2,
  perSourcePath: 10,
  perTargetPath: 10,
  migrationsAtOnce: 10,
  sliceMs: 30_000,
  lowSharePercent: 5,
  jobsMax: 20_000,
  filesPerJobMax: 10_000,
  inactivityMs: 90 * 86_400_000,
  inactivityDeletesPartial: false,
  historyMs: 7 * 86_400_000,
  rates: { all: 0, foreground: 0, high: 0, normal: 0, low: 0 },
  yields: { high: 'none', normal: 'none', low: 'none' },
  windows: [],
  maintenance: [],
};

/** As `blockferry.toml` is when nobody has written one. */
export function defaultPolicyText(): string {
  return TEXT;
}

const TEXT = `# The rules of the Blockferry service. It reads this file again when it changes; a file that it cannot
# read changes nothing, and is told in its log. Everything here may be left out: then it is as it stands here.

# Background jobs that run at once: the ten migrations below, and two places that they never take from copies.
jobs_at_once = 12

# Foreground jobs run beside them, since somebody waits for each; the limit keeps a flood of them within memory.
foreground_at_once = 8

# Files of one job: while one is flushed and gets its name, the other goes on.
files_at_once = 2

# Jobs that read from, or write to, one storage (a mount or a host). A storage of solid state or of many disks takes as
# many as there are migrations; a single spinning disk is fastest with 1 or 2.
per_source_path = 10
per_target_path = 10

# Storage migrations at once: the number that Quick Storage Migration allowed.
migrations_at_once = 10

# What a job gets before an equal has its turn: long enough that a change of turns costs nothing to speak of, and
# short enough that a small job never waits for a huge one.
slice = "30s"

# Out of 100: what a class gets of the places that higher ones hold, while these would take all. Five keep a low job
# moving, and cost the others one slice in ten minutes. 0: it waits until all higher jobs are done, as in BITS.
low_share_percent = 5

# Jobs that are kept, and files in one of them: more than anybody queues by hand, few enough to hold in memory. Where
# there are more, those that ended first are forgotten early.
jobs_max = 20_000
files_per_job_max = 10_000

# A job that nothing happened to for so long is cancelled, as in BITS; 0: never. What it had copied and proven stays
# beside its target, so that a new job goes on from there, unless this says otherwise.
inactivity = "90d"
inactivity_deletes_partial = false

# How long finished jobs are listed: a week, so that Monday shows what the weekend did.
history = "7d"

# Per second, of all jobs together and of each class; 0: no limit. They hold where no window says otherwise. There is
# none at first, because a limit that nobody asked for only makes copies late.
[rates]
all = 0
foreground = 0
high = 0
normal = 0
low = 0

# How jobs of a class make way for others who use the same disks and links: gentle gives way first, greedy last, none
# never. A trickle always flows, and alone every job goes about as fast as its storage. Where machines run from the
# same disks, low = "gentle" and normal = "fair" keep them from feeling it. Foreground jobs make way when they are
# asked to, one by one.
[yields]
high = "none"
normal = "none"
low = "none"

# Rates by the clock: the first window that holds now binds, and what it does not say is as in [rates]. Days are those
# on which a window begins; one whose end is not after its beginning ends on the next day. Without a zone it is the
# machine's. A window holds while the clock on the wall is in it: what daylight saving skips does not come, and what it
# repeats comes twice.
#
# [[windows]]
# name = "office hours"
# days = ["mon-fri"]
# from = "08:00"
# to = "18:00"
# zone = "Europe/Berlin"
# rates = { all = "50MiB/s", low = "10MiB/s" }

# Maintenance: only these classes run; [] lets nothing run. The others go back to the queue, and on when it is over.
#
# [[maintenance]]
# name = "backup"
# days = ["sun"]
# from = "01:00"
# to = "03:00"
# classes = ["foreground"]
`;
