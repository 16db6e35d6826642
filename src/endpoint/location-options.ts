/**
 * What a location of a scheme of ours says besides the place: `?name=value&…`, such as the region of a bucket or the
 * file of a key. Secrets have no place there: shells and process lists show them.
 */
import { TransferError } from '../core/errors.js';

/** @throws TransferError E_USAGE for an option that the scheme does not know, or that is there twice */
export function locationOptions<N extends string>(url: URL, known: readonly N[]): Partial<Readonly<Record<N, string>>> {
  const options: Partial<Record<N, string>> = {};
  for (const [name, value] of url.searchParams) {
    const option = known.find((one) => one === name);
    const wrong = option === undefined ? 'knows no option' : options[option] === undefined ? undefined : 'has twice';
    if (option === undefined || wrong !== undefined) {
      throw new TransferError('E_USAGE', `${url.protocol}// ${wrong} ${JSON.stringify(name.slice(0, 80))}`, {
        hint: `It knows ${known.join(', ')}; a ? that belongs to the path is written as %3F.`,
      });
    }
    options[option] = value;
  }
  return options;
}
