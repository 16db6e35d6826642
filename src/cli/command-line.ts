/**
 * Reads the arguments, runs one command, and turns whatever happens into one exit code; only what the command needs is
 * loaded, since a small copy should not wait for the rest.
 */
import { systemClock } from '../core/clock.js';
import { ERROR_KINDS, TransferError } from '../core/errors.js';
import { hardExit } from '../platform/file-system.js';
import { argvPaths } from '../platform/path-bytes.js';
import type { DiskCommands } from './disk-program.js';
import { migrateCommands, vmCommands } from './machine-commands.js';
import { createProgram, usageError } from './program.js';
import { errorLines } from './render/error-text.js';
import type { PeerCommands, ServeCommands } from './serve-program.js';
import { jobCommands, policyCommands, unitCommands } from './service-commands.js';
import { Session } from './session.js';

async function runCommand(session: Session): Promise<number> {
  const args = argvPaths(process.argv.slice(2));
  session.args = args;
  let exitCode = 0;
  const ended = (code: number): void => {
    exitCode = code;
  };
  const program = createProgram({
    copy: async (sources, target, flags) => {
      const { runCopy } = await import('./commands/copy.js');
      exitCode = await runCopy(session, sources, target, flags);
    },
    verify: async (target, source, flags) => {
      if (target === undefined) {
        const { runVerifyReceipt } = await import('./commands/verify-receipt.js');
        return ended(await runVerifyReceipt(session, flags));
      }
      const { runVerify } = await import('./commands/verify.js');
      exitCode = await runVerify(session, target, source, flags);
    },
    status: async (target, flags) => {
      const { runStatus } = await import('./commands/status.js');
      exitCode = await runStatus(session, target, flags);
    },
    leftovers: async (location, flags) => {
      const { runLeftovers } = await import('./commands/leftovers.js');
      exitCode = await runLeftovers(session, location, flags);
    },
    bench: async (locations, flags) => {
      const { runBench } = await import('./commands/bench.js');
      exitCode = await runBench(session, locations, flags);
    },
    disk: diskCommands(session, ended),
    serve: serveCommands(session, ended),
    peer: peerCommands(session, ended),
    job: jobCommands(session, ended),
    policy: policyCommands(session, ended),
    service: unitCommands(session, ended),
    vm: vmCommands(session, ended),
    migrate: migrateCommands(session, ended),
    completion: async (shell, ofProgram) => {
      const { runCompletion } = await import('./commands/completion.js');
      exitCode = await runCompletion(session, ofProgram, shell);
    },
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (thrown) {
    const error = usageError(thrown);
    return typeof error === 'number' ? error : fail(session, error);
  }
}

function diskCommands(session: Session, ended: (exitCode: number) => void): DiskCommands {
  const disk = () => import('./commands/disk.js');
  return {
    info: async (image, flags) => ended(await (await disk()).runDiskInfo(session, image, flags)),
    map: async (image, flags) => {
      const { runDiskMap } = await import('./commands/disk-map.js');
      ended(await runDiskMap(session, image, flags));
    },
    check: async (image, flags) => ended(await (await disk()).runDiskCheck(session, image, flags)),
    chain: async (image, flags) => ended(await (await disk()).runDiskChain(session, image, flags)),
    merge: async (image, flags) => {
      const { runDiskMerge } = await import('./commands/disk-merge.js');
      ended(await runDiskMerge(session, image, flags));
    },
    digest: async (image, flags) => ended(await (await disk()).runDiskDigest(session, image, flags)),
  };
}

function serveCommands(session: Session, ended: (exitCode: number) => void): ServeCommands {
  const serve = () => import('./commands/serve.js');
  return {
    serve: async (flags) => ended(await (await serve()).runServe(session, flags)),
    tokenAdd: async (name, flags) => ended(await (await serve()).runTokenAdd(session, name, flags)),
    tokenList: async (flags) => ended((await serve()).runTokenList(session, flags)),
    tokenRemove: async (name, flags) => ended(await (await serve()).runTokenRemove(session, name, flags)),
  };
}

function peerCommands(session: Session, ended: (exitCode: number) => void): PeerCommands {
  const peer = () => import('./commands/peer.js');
  return {
    add: async (where, flags) => ended(await (await peer()).runPeerAdd(session, where, flags)),
    list: async (flags) => ended(await (await peer()).runPeerList(session, flags)),
    remove: async (where) => ended(await (await peer()).runPeerRemove(session, where)),
  };
}

function fail(session: Session, thrown: unknown): number {
  const error = TransferError.from(thrown);
  if (session.args.includes('--json')) {
    session.out.json({ schema: 1, at: systemClock.wallMs(), type: 'error', error: error.toJSON() });
  }
  for (const line of errorLines(error, process.env.BLOCKFERRY_DEBUG === '1')) session.err.line(line);
  return error.exitCode;
}

/** A result that nobody can read is no success, whatever was done: as with cp and its like, the exit code says so. */
async function withOutput(session: Session, exitCode: number): Promise<number> {
  const failure = await session.out.failure();
  if (!failure) return exitCode;
  session.err.line(`blockferry: the output cannot be written: ${failure.message}`);
  if (exitCode !== 0) return exitCode;
  session.err.line('  The work itself is done, and what it made is kept. Give the output another place.');
  return ERROR_KINDS.E_TARGET_WRITE.exitCode;
}

/** Runs the command that the process was started with, and sets its exit code. */
export async function runCommandLine(): Promise<void> {
  const session = new Session();
  process.on('uncaughtException', (thrown) => {
    session.restoreTerminal();
    fail(session, thrown);
    hardExit(1);
  });

  process.exitCode = await withOutput(session, await runCommand(session));
  if (session.stuck) {
    session.err.line(
      'A thread is stuck in a system call of the storage; it is left behind so that this command can end.',
    );
    hardExit(process.exitCode);
  }
}
