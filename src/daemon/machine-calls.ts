/** The calls about machines as a serving thread takes them: who may ask is clear before the main thread hears of it. */
import { randomUUID } from 'node:crypto';
import { TransferError } from '../core/errors.js';
import { MACHINE_CALLS, type MachineCall } from '../core/machine-wire.js';
import type { CallAnswer, CallRequest } from '../core/peer-wire.js';
import type { ThreadLink } from '../core/thread-link.js';
import type { HostForThread } from './host.js';
import type { Root } from './roots.js';
import { mayUse, type TokenEntry } from './tokens.js';

export type MachineCalls = {
  [N in MachineCall]: (request: CallRequest<N>, client: TokenEntry, signal: AbortSignal) => Promise<CallAnswer<N>>;
};

export function machineCalls(roots: readonly Root[], link: ThreadLink<HostForThread>): MachineCalls {
  const names = Object.keys(MACHINE_CALLS) as MachineCall[];
  const calls = names.map((call) => {
    const ask = async (request: unknown, client: TokenEntry, signal: AbortSignal): Promise<unknown> => {
      assertMayRun(client);
      const id = randomUUID();
      const takeBack = (): void => void link.ask('machine-take-back', { id }).catch(() => undefined);
      signal.addEventListener('abort', takeBack, { once: true });
      try {
        const writable = roots.filter(({ name }) => mayUse(client, name, 'write')).map(({ name }) => name);
        return await link.ask('machine', { call, request, roots: writable, id });
      } finally {
        signal.removeEventListener('abort', takeBack);
      }
    };
    return [call, ask] as const;
  });
  return Object.fromEntries(calls) as unknown as MachineCalls;
}

/** @throws TransferError E_AUTH */
function assertMayRun({ rights, only }: TokenEntry): void {
  if (rights.includes('vm') && !only) return;
  throw new TransferError('E_AUTH', 'the token may not bring machines to here', {
    hint: 'Whoever runs that host makes one that may: blockferry serve token add NAME --rights vm,write',
  });
}
