/**
 * Events of the service as they come (server-sent events, WHATWG HTML §9.2), over as many connections as it takes. No
 * event that is kept is missed: each connection begins after the last one that was heard.
 */
import type { Clock } from '../core/clock.js';
import { type ErrorCode, TransferError } from '../core/errors.js';
import { MiB } from '../core/units.js';
import type { Told } from '../service/told.js';
import type { ClientCalls } from './client-calls.js';

export interface ListenAbout {
  /** Absent: from now on. */
  readonly after?: number;
  readonly job?: string;
  /** Hears why the connection was lost and when it is made anew; undefined: it is there again. */
  readonly onLost?: (lost: { readonly error: TransferError; readonly waitMs: number } | undefined) => void;
}

interface Message {
  readonly id?: number;
  readonly event?: string;
  readonly data?: string;
}

const AWAY: ReadonlySet<ErrorCode> = new Set(['E_NO_SERVICE', 'E_NETWORK', 'E_TIMEOUT', 'E_UNAVAILABLE']);
const FIRST_WAIT_MS = 100;
/** Whoever waits for a service sees it within seconds, and a thousand who wait do not keep it from starting. */
const WAIT_MS_MAX = 10_000;
const MESSAGE_CHARS_MAX = MiB;

/** Ends when the signal aborts. @throws TransferError where there is no service at first, or it refuses */
export async function* listen(
  calls: ClientCalls,
  { after, job, onLost }: ListenAbout,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Told, void, undefined> {
  let last = after;
  let heard = false;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      const query = { ...(job !== undefined && { job }), ...(last !== undefined && { after: String(last) }) };
      const body = await calls.stream('/v1/events', query, signal);
      if (heard && attempt > 0) onLost?.(undefined);
      attempt = 0;
      heard = true;
      for await (const { id, event, data } of readMessages(body.setEncoding('utf8'))) {
        last = id ?? last;
        if (event === 'dropped') throw dropped(data);
        if (data !== undefined) yield JSON.parse(data) as Told;
      }
      throw new TransferError('E_NETWORK', `the service at ${calls.name} has ended the connection`);
    } catch (thrown) {
      const error = calls.failure(thrown);
      if (signal.aborted) return;
      if (!heard || !AWAY.has(error.code)) throw error;
      const ownMs = Math.min(WAIT_MS_MAX, FIRST_WAIT_MS * 2 ** attempt) * (0.5 + Math.random() / 2);
      const waitMs = Math.round(Math.max(ownMs, error.detail.retryAfterMs ?? 0));
      onLost?.({ error, waitMs });
      await clock.sleep(waitMs, signal);
    }
  }
}

/** Blocks of lines, each ended by an empty one; what has no field that we know is left out. */
async function* readMessages(pieces: AsyncIterable<string>): AsyncGenerator<Message> {
  let rest = '';
  for await (const piece of pieces) {
    const blocks = (rest + piece).split('\n\n');
    rest = blocks.pop() ?? '';
    if (rest.length > MESSAGE_CHARS_MAX) throw new TransferError('E_PROTOCOL', 'an event of the service never ends');
    for (const block of blocks) yield readMessage(block);
  }
}

function readMessage(block: string): Message {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const [, name = '', value = ''] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    fields.set(name, value);
  }
  const [id, event, data] = [fields.get('id'), fields.get('event'), fields.get('data')];
  return {
    ...(id !== undefined && /^\d+$/.test(id) && { id: Number(id) }),
    ...(event !== undefined && { event }),
    ...(data !== undefined && { data }),
  };
}

function dropped(data = '{}'): TransferError {
  const { error } = JSON.parse(data);
  return error ? TransferError.fromJSON(error) : new TransferError('E_UNAVAILABLE', 'the event stream was dropped');
}
