/**
 * A process that holds the service and its migrations until the one that it is asked for settles, or until it kills
 * itself, so long after a step was told. All comes as JSON in its only argument.
 */
import { systemClock } from '../../dist/src/core/clock.js';
import { openMigrations, openService } from '../../dist/src/index.js';

const { state, request, kill } = JSON.parse(process.argv[2]);
const onNote = (sentence) => process.stderr.write(`${sentence}\n`);
const service = await openService({ state, onNote });
const migrations = await openMigrations({ state, service, onNote });
const stop = new AbortController();
const watching = (async () => {
  for await (const { event } of migrations.events({ after: 0 }, stop.signal)) {
    if (event.type !== 'step' || event.step !== kill?.step || event.state !== 'started') continue;
    await systemClock.sleep(kill.afterMs);
    process.kill(process.pid, 'SIGKILL');
  }
})();
const [known] = migrations.list();
const { id } = known ?? (await migrations.start(request));
const view = await migrations.settled(id);
stop.abort();
await watching;
await migrations.close();
await service.close();
process.stdout.write(JSON.stringify(view));
