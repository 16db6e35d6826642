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

/** Hosts that are started so often within one copy are broken. */
const LOST_MAX = 10;
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
  #rate: number;
  #stopped = false;

  constructor(driver: Driver, ends: PullEnds, options: PullOptions) {
    this.#driver = driver;
    this.#ends = ends;
    this.#options = options;
    this.#rate = options.rateBytesPerSecond;
    this.events = new EventStream(() => this.#clock.wallMs());
  }

  /** Carries it out; to be called once. @throws TransferError what the other host says, or that it says nothing more */
  async run(): Promise<TransferResult> {
    const message = `the bytes go straight from ${this.#ends.source.name} to ${this.#ends.target.name}`;
    this.events.emit({ type: 'note', message });
    try {
      for (let lost = 1; ; lost++) {
        const outcome = await this.#carryOut(lost === 1 && this.#options.discard);
        if (!(outcome instanceof TransferError)) return outcome;
        if (this.#stopped || lost >= LOST_MAX) throw outcome;
        const why = 'one of the two hosts was started again, or the lent token has ended';
        this.events.emit({ type: 'note', message: `${why}; the copy goes on` });
      }
    } finally {
      this.events.end();
    }
  }

  /**
   * Answers an error where the copy may go on when it is asked for anew: the host that pulls has ended it, or, once it
   * was let in, the source's host knows the lent token no more. Where the driver's own has ended too, it hears that.
   */
  async #carryOut(discard: boolean): Promise<TransferResult | TransferError> {
    const options = { ...this.#options, rateBytesPerSecond: this.#rate, discard };
    this.#pull = this.#driver.PeerPull.start(this.#ends, options);
    const pull = await this.#pull;
    if (this.#stopped) await pull.stop();
    let begun = false;
    for (;;) {
      const news = await pull.news().catch(forgotten);
      if (news instanceof TransferError) return news;
      for (const { event, result, error } of news.said) {
        if (result) return result as TransferResult;
        if (error && (error.code === 'E_STOPPED' || (begun && error.code === 'E_AUTH')))
          return told(error as ErrorJson);
        if (error) throw told(error as ErrorJson);
        if (event) this.events.emit(event as EventBody);
        begun ||= event !== undefined && event.type !== 'note';
      }
      if (news.ended) {
        const { name } = this.#ends.target;
        throw new TransferError('E_PROTOCOL', `${name}: the other host did not say how the copy went`);
      }
    }
  }

  suspend(): void {
    this.#stopped = true;
    // Where that fails, the other host ends the copy when nobody asks about it any more.
    this.#pull?.then((pull) => pull.stop()).catch(() => undefined);
  }

  setRate(bytesPerSecond: number): void {
    this.#rate = bytesPerSecond;
    this.#pull?.then((pull) => pull.setRate(bytesPerSecond)).catch(() => undefined);
  }

  /** What the other host knows of its chunks stays there. */
  chunkMap(_cells: number): ChunkMapView | undefined {
    return undefined;
  }
}

/** A host that was started again does not know the copy any more. */
function forgotten(thrown: unknown): TransferError {
  if (thrown instanceof TransferError && thrown.code === 'E_STOPPED') return thrown;
  throw thrown;
}

function told({ code, message, hint }: ErrorJson): TransferError {
  if (Object.hasOwn(ERROR_KINDS, code)) return new TransferError(code, message, hint === undefined ? {} : { hint });
  return new TransferError('E_PROTOCOL', 'the other host ended the copy for a reason that is not known here');
}
