/** A copy between two peers, as a run: the target's host makes it, and its events and its result are told here. */
import { peerDriver } from '../compose.js';
import { type Clock, systemClock } from '../core/clock.js';
import type { Location } from '../core/endpoint.js';
import { ERROR_KINDS, type ErrorJson, TransferError } from '../core/errors.js';
import type { EventBody } from '../core/events.js';
import type { PullOptions } from '../core/peer-wire.js';
import type { ChunkMapView } from '../transfer/chunk-map.js';
import { EventStream } from '../transfer/event-stream.js';
import type { TransferResult } from '../transfer/transfer-result.js';

type Driver = Awaited<ReturnType<typeof peerDriver>>;
type PeerPull = InstanceType<Driver['PeerPull']>;

export interface PullEnds {
  readonly source: Location;
  readonly target: Location;
}

/** Undefined where the bytes have to come through here. */
export async function pullBetween(ends: PullEnds, options: PullOptions): Promise<PullWork | undefined> {
  const driver = await peerDriver();
  return driver.canPull(ends.source, ends.target) ? new PullWork(driver, ends, options) : undefined;
}

export class PullWork {
  readonly events: EventStream;
  readonly #driver: Driver;
  readonly #ends: PullEnds;
  readonly #options: PullOptions;
  readonly #clock: Clock = systemClock;
  #pull: Promise<PeerPull> | undefined;
  #stopped = false;

  constructor(driver: Driver, ends: PullEnds, options: PullOptions) {
    this.#driver = driver;
    this.#ends = ends;
    this.#options = options;
    this.events = new EventStream(() => this.#clock.wallMs());
  }

  /** Carries it out; to be called once. @throws TransferError what the other host says, or that it says nothing more */
  async run(): Promise<TransferResult> {
    try {
      this.#pull = this.#driver.PeerPull.start(this.#ends, this.#options);
      const pull = await this.#pull;
      if (this.#stopped) await pull.stop();
      const [source, target] = [this.#ends.source.name, this.#ends.target.name];
      const message = `the bytes go straight from ${source} to ${target}`;
      this.events.emit({ type: 'note', message });
      for (;;) {
        const { said, ended } = await pull.news();
        for (const { event, result, error } of said) {
          if (result) return result as TransferResult;
          if (error) throw told(error as ErrorJson);
          if (event) this.events.emit(event as EventBody);
        }
        if (ended) throw new TransferError('E_PROTOCOL', `${target}: the other host did not say how the copy went`);
      }
    } finally {
      this.events.end();
    }
  }

  suspend(): void {
    this.#stopped = true;
    // Where that fails, the other host ends the copy when nobody asks about it any more.
    this.#pull?.then((pull) => pull.stop()).catch(() => undefined);
  }

  setRate(bytesPerSecond: number): void {
    this.#pull?.then((pull) => pull.setRate(bytesPerSecond)).catch(() => undefined);
  }

  /** What the other host knows of its chunks stays there. */
  chunkMap(_cells: number): ChunkMapView | undefined {
    return undefined;
  }
}

function told({ code, message, hint }: ErrorJson): TransferError {
  if (Object.hasOwn(ERROR_KINDS, code)) return new TransferError(code, message, hint === undefined ? {} : { hint });
  return new TransferError('E_PROTOCOL', 'the other host ended the copy for a reason that is not known here');
}
