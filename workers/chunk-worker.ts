/** The entry of a pool thread: hands each request to the performer, and sends errors back as plain data. */
import { performerParts } from '../src/compose.js';
import { TransferError } from '../src/core/errors.js';
import { Performer } from '../src/transfer/perform.js';
import type { Work, WorkName } from '../src/transfer/requests.js';

/** How many threads this is one of. */
const threads = Number(process.argv[2]);
const performer = new Performer(await performerParts(threads));

export default async function work({ name, request }: { name: WorkName; request: Work[WorkName]['in'] }) {
  try {
    return { value: await performer.perform(name, request) };
  } catch (thrown) {
    return { error: TransferError.from(thrown).toJSON() };
  }
}
