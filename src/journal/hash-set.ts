/** A set of 64-bit hashes that grows: 16 to 32 bytes each, where a Set of strings takes hundreds. */
const PLACES_MIN = 1024;

export class HashSet {
  #places = new BigUint64Array(PLACES_MIN);
  #count = 0;

  /** False: it was there before. */
  add(hash: bigint): boolean {
    // 0 stands for an empty place.
    const value = hash || 1n;
    const place = placeOf(this.#places, value);
    if (this.#places[place] !== 0n) return false;
    this.#places[place] = value;
    if (++this.#count * 2 > this.#places.length) this.#grow();
    return true;
  }

  #grow(): void {
    const places = new BigUint64Array(this.#places.length * 2);
    for (const value of this.#places) if (value !== 0n) places[placeOf(places, value)] = value;
    this.#places = places;
  }
}

/** Where a value other than 0 is, or belongs: linear probing in a power of two of places, some of them empty. */
export function placeOf(places: BigUint64Array, value: bigint): number {
  const mask = places.length - 1;
  let place = Number(value & BigInt(mask));
  while (places[place] !== 0n && places[place] !== value) place = (place + 1) & mask;
  return place;
}
