/** Has a service copy one file, and ends when it is complete: `service-job SOCKET SOURCE TARGET [PRIORITY [sync]]`. */
import { TransferError } from '../src/core/errors.js';
import { NEVER } from '../src/core/stop.js';
import { ServiceClient } from '../src/daemon/client.js';
import type { Priority } from '../src/service/job.js';

const [socketPath = '', source = '', target = '', priority = 'foreground', sync] = process.argv.slice(2);
const client = new ServiceClient({ socketPath });
const { lastEventId } = (await client.service()).load;
const { id } = await client.create({
  files: [{ source, target }],
  options: { reflink: 'never', sync: sync === 'sync' },
  priority: priority as Priority,
  autoComplete: true,
});
for await (const { event } of client.events({ job: id, after: lastEventId }, NEVER)) {
  if (event.type !== 'state') continue;
  if (event.state === 'acknowledged') break;
  if (event.state === 'error') throw TransferError.from(event.error && TransferError.fromJSON(event.error));
}
await client.close();
