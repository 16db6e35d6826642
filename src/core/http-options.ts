/**
 * How servers are asked over HTTP, where a location does not say it itself: plain data, from the options of a call to
 * the threads. Files are named and not read here, so that what they hold is in no argument and no option.
 */

export interface HttpOptions {
  /**
   * Sent with every request to the server of the location, and to no other: where a redirect leads elsewhere, they stay
   * behind. An `Authorization` among them wins over all other credentials.
   */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * A file with a bearer token, which nobody else may read; it wins over the environment variable
   * BLOCKFERRY_HTTP_TOKEN. A token is sent over https, or to this machine, and to the server of the location only.
   */
  readonly tokenFile?: string;
  /** PEM file of the certificate authorities that are trusted, instead of all that Node trusts. */
  readonly caFile?: string;
  /** PEM file of the client certificate, with what it is signed by. */
  readonly certFile?: string;
  /** PEM file of the certificate's key. Absent: it is in `certFile` too. */
  readonly keyFile?: string;
  /** Connections to one server at the same time, over all threads. Default 8. */
  readonly connections?: number;
  /**
   * Copy a large file also from a server without byte ranges, in one stream: a copy that is stopped begins again.
   */
  readonly noResumeOk?: boolean;
}

/** What a location carries of them. */
export interface HttpAsked extends HttpOptions {
  /** Credentials of the call, and of the environment, are for the server of another location. */
  readonly isOther?: true;
}
