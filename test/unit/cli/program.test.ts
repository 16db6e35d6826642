import { expect, test } from 'vitest';
import type { DiskCommands } from '../../../src/cli/disk-program.js';
import type { JobCommands } from '../../../src/cli/job-program.js';
import type { MigrateCommands } from '../../../src/cli/migrate-program.js';
import { type CopyFlags, createProgram, usageError } from '../../../src/cli/program.js';
import type { PeerCommands, ServeCommands } from '../../../src/cli/serve-program.js';
import type { PolicyCommands, UnitCommands } from '../../../src/cli/service-program.js';
import type { VmCommands } from '../../../src/cli/vm-program.js';
import { TransferError } from '../../../src/core/errors.js';
import { MiB } from '../../../src/core/units.js';

interface Called {
  readonly command: string;
  readonly locations: readonly string[];
  readonly flags: object;
}

async function parse(...args: readonly string[]): Promise<Called> {
  const calls: Called[] = [];
  const program = createProgram({
    copy: async (sources, target, flags) => {
      calls.push({ command: 'copy', locations: [...sources, target], flags });
    },
    verify: async (target = '', source = '', flags) => {
      calls.push({ command: 'verify', locations: [target, source], flags });
    },
    completion: async (shell) => void calls.push({ command: 'completion', locations: [shell], flags: {} }),
    disk: {} as DiskCommands,
    serve: {} as ServeCommands,
    peer: {} as PeerCommands,
    job: {} as JobCommands,
    policy: {} as PolicyCommands,
    service: {} as UnitCommands,
    vm: {} as VmCommands,
    migrate: {} as MigrateCommands,
    bench: async (locations, flags) => void calls.push({ command: 'bench', locations, flags }),
    leftovers: async (location, flags) => void calls.push({ command: 'leftovers', locations: [location], flags }),
    status: async (target, flags) => void calls.push({ command: 'status', locations: [target], flags }),
  });
  await program.parseAsync(args, { from: 'user' }).catch((thrown) => {
    throw usageError(thrown);
  });
  return calls[0] as Called;
}

test('limits and sizes are read with their units', async () => {
  const { flags } = await parse('copy', '--limit', '400Mbit', '--chunk-size=4MiB', '--lanes', '3', 'a', 'b');
  expect(flags).toMatchObject({
    limit: 50_000_000,
    chunkSize: 4 * MiB,
    lanes: 3,
    sync: true,
  } satisfies Partial<CopyFlags>);
  expect((await parse('copy', '--no-sync', 'a', 'b')).flags).toMatchObject({ sync: false });
});

test('locations that begin with a dash go behind --', async () => {
  expect((await parse('copy', '--', '-a', '--overwrite')).locations).toEqual(['-a', '--overwrite']);
});

test.each([
  [['copy', '--limit', 'fast', 'a', 'b'], '--limit: cannot read "fast"'],
  [['copy', '--limit', '-0', 'a', 'b'], '--limit: cannot read "-0"'],
  [['copy', '--limit', '-5MiB', 'a', 'b'], '--limit: cannot read "-5MiB"'],
  [['copy', '--chunk-size', '8 parsecs', 'a', 'b'], '--chunk-size: cannot read'],
  [['copy', '--workers', '0', 'a', 'b'], '--workers: cannot use "0"'],
  [['copy', '--workers', '1000000', 'a', 'b'], '--workers: cannot use'],
  [['copy', '--lanes', '2.5', 'a', 'b'], '--lanes: cannot use "2.5"'],
  [['copy', '--lanes', '1e2', 'a', 'b'], '--lanes: cannot use "1e2"'],
  [['copy', '--limt', '5MiB', 'a', 'b'], "unknown option '--limt' (Did you mean --limit?)"],
  [['leftovers', '--older-than', 'ever', 's3://bucket'], '--older-than: cannot use "ever"'],
  [['copy', 'a'], 'copy needs a source and a target'],
  [['verify', 'a'], 'nothing to compare with'],
  [['verify'], 'nothing to compare with'],
  [['status'], "missing required argument 'target'"],
  [['move', 'a', 'b'], "unknown command 'move'"],
])('%j is refused with exit code 2 and a hint', async (args, message) => {
  const error = (await parse(...args).catch((thrown) => thrown)) as TransferError;
  expect(error).toBeInstanceOf(TransferError);
  expect(error.exitCode).toBe(2);
  expect(error.message).toContain(message);
  expect(error.detail.hint).toBeTruthy();
});

test('what is not a usage error stays what it is', () => {
  const bug = new RangeError('ours');
  expect(usageError(bug)).toBe(bug);
});
