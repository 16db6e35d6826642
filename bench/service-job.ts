/** Has a service copy one file, and ends when it is complete: `service-job SOCKET SOURCE TARGET`. */
import { TransferError } from '../src/core/errors.js';
import { NEVER } from '../src/core/stop.js';
import { ServiceClient } from '../src/daemon/client.js';

const [socketPath = '', source = '', target = ''] = process.argv.slice(2);
const client = new ServiceClient({ socketPath });
const { lastEventId } = (await client.service()).load;
const { id } = await client.create({
  files: [{ source, target }],
  options: { reflink: 'never', sync: false },
  priority: 'foreground',
  autoComplete: true,
});
for await (const { event } of client.events({ job: id, after: lastEventId }, NEVER)) {
  if (event.type !== 'state') continue;
  if (event.state === 'acknowledged') break;
  if (event.state === 'error') throw TransferError.from(event.error && TransferError.fromJSON(event.error));
}
await client.close();
