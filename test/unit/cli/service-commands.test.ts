import { expect, test } from 'vitest';
import { runCopyBackground } from '../../../src/cli/commands/copy-background.js';
import { type Commands, type CopyFlags, createProgram, usageError } from '../../../src/cli/program.js';
import { jobCommands, policyCommands, unitCommands } from '../../../src/cli/service-commands.js';
import { Session } from '../../../src/cli/session.js';
import type { TransferError } from '../../../src/core/errors.js';

const nothing = (): void => undefined;
const session = new Session();

/** What the command line is refused with, before a service is asked. */
async function refusal(args: readonly string[]): Promise<TransferError> {
  const copy = (sources: readonly string[], target: string, flags: CopyFlags) =>
    runCopyBackground(session, sources, target, flags).then(nothing);
  const parts = { job: jobCommands(session, nothing), policy: policyCommands(session, nothing), copy };
  const program = createProgram({ ...parts, service: unitCommands(session, nothing) } as unknown as Commands);
  return program.parseAsync(args, { from: 'user' }).then(
    () => expect.fail('it was not refused'),
    (thrown) => usageError(thrown) as TransferError,
  );
}

test.each([
  [['job', 'create', 'a'], 'a target for each source'],
  [['job', 'create', 'a', 'b', 'c'], 'a target for each source'],
  [['job', 'create', 'a', ''], 'a location is empty'],
  [['job', 'create', '--priority', 'urgent', 'a', 'b'], 'urgent'],
  [['job', 'create', '--retry-delay', '5', 'a', 'b'], '--retry-delay: cannot use "5"'],
  [['job', 'create', '--no-progress', 'a', 'b'], '--no-progress: cannot use "a"'],
  [['job', 'create', '--notify', 'logger', 'a', 'b'], '--notify: "logger" is not the path'],
  [['job', 'create', '--webhook', 'ftp://host', 'a', 'b'], '--webhook: cannot use'],
  [
    ['job', 'create', '--webhook', 'http://host', '--webhook-secret-file', 'missing', 'a', 'b'],
    'missing cannot be read',
  ],
  [['job', 'create', '--webhook-secret-file', 'x', 'a', 'b'], 'is for --webhook'],
  [['job', 'list', '--only', 'done'], '--only: cannot use "done"'],
  [['job', 'set', 'x'], 'nothing to change'],
  [['job', 'watch'], "missing required argument 'job'"],
  [['job', 'list', '--service', 'http://192.0.2.1:1'], 'there is no token'],
  [['job', 'list', '--token-file', 'x'], 'are for a service at an address'],
  [['job', 'list', '--service', 'http://host', '--state', '.'], 'name two services'],
  [['policy', 'set', 'missing.toml'], 'missing.toml cannot be read'],
  [['copy', '--background', '--manifest', 'm', 'a', 'b'], 'cannot have --manifest'],
  [['copy', '--background', '--checksum', 'sha256', 'a', 'b'], 'cannot have --checksum'],
  [['copy', '--background', '--discard', '--workers', '2', 'a', 'b'], 'cannot have --workers, --discard'],
  [['copy', '--background', '--token-file', 'x', '--ca', 'y', 'a', 'b'], 'cannot have --token-file, --ca'],
])('%j is refused before anything is asked', async (args, said) => {
  const error = await refusal(args);
  expect([error.exitCode, error.message]).toEqual([
    said.startsWith('there is no token') ? 3 : 2,
    expect.stringContaining(said),
  ]);
});
