/** Drives a copy that goes straight from one peer to another: the target's host pulls, and tells how it goes. */
import type { Location } from '../../core/endpoint.js';
import { TransferError } from '../../core/errors.js';
import type { CallAnswer, PullOptions } from '../../core/peer-wire.js';
import { peerPlace } from './address.js';
import { type PeerClient, peerClient, REPEATS_BEGUN_MAX } from './client.js';

/** Whether the two can be brought together; with `?direct=no` the bytes go through here. */
export function canPull(source: Location, target: Location): boolean {
  if (source.scheme !== 'peer' || target.scheme !== 'peer') return false;
  return ![source, target].some(({ text }) => new URL(text).searchParams.get('direct') === 'no');
}

export class PeerPull {
  readonly #client: PeerClient;
  readonly #id: string;
  readonly #shown: string;
  #heard = 0;

  constructor(client: PeerClient, id: string, shown: string) {
    this.#client = client;
    this.#id = id;
    this.#shown = shown;
  }

  static async start(ends: { source: Location; target: Location }, options: PullOptions): Promise<PeerPull> {
    const [from, to] = [peerPlace(ends.source), peerPlace(ends.target)];
    const { token } = await peerClient(from.address).call('delegate', from.place);
    const client = peerClient(to.address);
    const source = { address: { ...from.address, token }, place: from.place };
    const sourceName = from.place.path.split('/').at(-1) ?? '';
    const { pull } = await client.callOnce('pull', { source, place: to.place, sourceName, options });
    return new PeerPull(client, pull, `${client.name}/`);
  }

  /** The next lines; what the other host calls `root/path` is at that peer. */
  async news(): Promise<{ readonly said: readonly Said[]; readonly ended: boolean }> {
    const about = { pull: this.#id, after: this.#heard };
    const { lines, ended }: CallAnswer<'pull-news'> = await this.#client.call(
      'pull-news',
      about,
      undefined,
      REPEATS_BEGUN_MAX,
    );
    this.#heard += lines.length;
    return { said: lines.map((line) => this.#read(line)), ended };
  }

  async setRate(rateBytesPerSecond: number): Promise<void> {
    await this.#client.call('pull-rate', { pull: this.#id, rateBytesPerSecond });
  }

  async stop(): Promise<void> {
    await this.#client.call('pull-stop', { pull: this.#id });
  }

  #read(line: string): Said {
    try {
      const said = JSON.parse(line) as Said;
      const named = said.event ?? said.result;
      if (typeof named?.target === 'string') named.target = `${this.#shown}${named.target}`;
      return said;
    } catch (cause) {
      throw new TransferError('E_PROTOCOL', `${this.#client.name}: what it says of the copy cannot be read`, { cause });
    }
  }
}

/** One of the three. */
export interface Said {
  readonly event?: { readonly type: string; target?: string };
  readonly result?: { target: string };
  readonly error?: { readonly code: string; readonly message: string };
}
