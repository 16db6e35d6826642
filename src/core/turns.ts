/** Work at one place, one after the other; work at others goes on meanwhile. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  async take<T>(place: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(place);
    const turn = (async () => {
      await before?.catch(() => undefined);
      return work();
    })();
    this.#last.set(place, turn);
    try {
      return await turn;
    } finally {
      if (this.#last.get(place) === turn) this.#last.delete(place);
    }
  }
}
