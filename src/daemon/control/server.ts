/**
 * The service's door: HTTP over a Unix socket for whoever has this user's rights, and over TCP for whoever has a token.
 */
import type { Clock } from '../../core/clock.js';
import type { JobService } from '../../service/job-service.js';

export interface ControlOptions {
  readonly service: JobService;
  readonly version: string;
  /** Made 0600, in a folder that is made 0700. */
  readonly socketPath: string;
  /** Absent: the socket alone. */
  readonly http?: ControlHttp;
  /** The folder of tokens.json, as in `daemonFolder()`. */
  readonly tokens: string;
  /** The folder of the page's built files; absent: no page. */
  readonly page?: string;
  /** The folder of the log; absent: none is kept. */
  readonly log?: string;
  readonly clock?: Clock;
}

export interface ControlHttp {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** PEM, as an Identity has it. Absent: plain, which only a loopback address may be. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** What the Host header may say beside addresses and `localhost`. */
  readonly names?: readonly string[];
}

export interface ControlServer {
  readonly socketPath: string;
  /** Where it listens for HTTP, such as `https://127.0.0.1:7422`. */
  readonly url: string | undefined;
  /** Ends all connections. The service stays. */
  close(): Promise<void>;
}

/** Listens when it resolves. @throws TransferError E_USAGE: an address that cannot be used, a service that runs already */
export function startControl(_options: ControlOptions): Promise<ControlServer> {
  return Promise.reject(new Error('not there yet'));
}
