/** What a job tells of those whom it makes way for. */
export interface Yielding {
  /** What cannot be seen of them, as sentences for people. */
  readonly notes: readonly string[];
  /** Whom it makes way for now, and how; undefined: nobody. */
  readonly reason: () => string | undefined;
}
