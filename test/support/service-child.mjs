/**
 * A process that holds a service until all of its jobs are finished, or until it is killed. What it is to do comes as
 * JSON in its only argument: the state folder, the jobs to make when there are none, and whether limits are lifted.
 */
import { openService } from '../../dist/src/index.js';

const { state, specs, hurry } = JSON.parse(process.argv[2]);
const owner = { name: 'test', admin: true };
const service = await openService({ state, onNote: (sentence) => process.stderr.write(`${sentence}\n`) });
const known = new Set(service.list(owner, { all: true }).map(({ name }) => name));
// Those that a kill kept from being made are made now; what was answered is on record.
for (const spec of specs) if (!known.has(spec.name)) await service.create(spec, owner);
if (hurry) for (const { id } of service.list(owner)) await service.change(id, { limitBytesPerSecond: 0 }, owner);

const stop = new AbortController();
const finished = () => service.list(owner).length === 0;
if (!finished()) for await (const _ of service.events(owner, { after: 0 }, stop.signal)) if (finished()) break;
await service.close();
process.stdout.write(`${JSON.stringify(service.list(owner, { all: true }))}\n`);
