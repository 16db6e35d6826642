/**
 * A process that carries out migrations until they settle, or kills itself: when a step is told, or at the so-and-so
 * many-th moment at which it asks a host for something, has its answer, or puts something on record. The hosts are in
 * the parent, which goes on.
 */
import { performerParts, serviceParts } from '../../dist/src/compose.js';
import { systemClock } from '../../dist/src/core/clock.js';
import { TransferError } from '../../dist/src/core/errors.js';
import { LocalFiles } from '../../dist/src/migrate/local-files.js';
import { Migrations } from '../../dist/src/migrate/migrations.js';
import { Service } from '../../dist/src/service/service.js';
import { InlineRunner } from '../../dist/src/transfer/inline-runner.js';
import { Performer } from '../../dist/src/transfer/perform.js';

const { state, request, kill = {}, abortAt } = JSON.parse(process.argv[2]);
const note = (sentence) => process.stderr.write(`${sentence}\n`);

let moments = 0;
function die() {
  process.kill(process.pid, 'SIGKILL');
  // Nothing more is done, however late the signal is.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
function moment() {
  if (++moments === kill.moment) die();
}

/** Of a step's beginning or end among all of them; a later one counts where an earlier one was over too quickly. */
function placeOf({ number, state }) {
  return state === 'started' ? number * 2 : state === 'done' ? number * 2 + 1 : 0;
}

const waiting = new Map();
let calls = 0;
process.on('message', ({ id, value, error }) => {
  moment();
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error) reject(TransferError.fromJSON(error));
  else resolve(value);
});
process.channel.unref();

function call(end, name, args) {
  moment();
  const id = ++calls;
  const plain = args.filter((one) => typeof one !== 'function' && !(one instanceof AbortSignal));
  process.channel.ref();
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    process.send({ id, end, name, args: plain });
  }).finally(() => {
    if (waiting.size === 0) process.channel.unref();
  });
}

const newRunner = async () => new InlineRunner(new Performer(await performerParts()));
const clock = {
  ...systemClock,
  wallMs: () => {
    moment();
    return systemClock.wallMs();
  },
};

class Files extends LocalFiles {
  repoint(image, parent) {
    return call('local', 'repoint', [image, parent]);
  }
}

const files = new Files({ newRunner, clock: systemClock, random: Math.random });
function end(name) {
  const remote = new Proxy(
    {},
    {
      get:
        (_, method) =>
        (...args) =>
          call(name, method, args),
    },
  );
  return { name, host: remote, hypervisor: remote, files };
}

const jobs = await Service.start({ ...(await serviceParts(state, note)), newRunner });
const migrations = await Migrations.open({ state, jobs, end, clock, note });
const stop = new AbortController();
let aborting;
/** Refused after the switch-over: then it arrives. */
async function abort() {
  try {
    await migrations.abort(migrations.list()[0].id);
  } catch (thrown) {
    if (thrown.code !== 'E_MIGRATION_STATE') throw thrown;
  }
}
void (async () => {
  for await (const { event } of migrations.events({ after: 0 }, stop.signal)) {
    if (event.type === 'step' && placeOf(event) >= (kill.place ?? Number.POSITIVE_INFINITY)) die();
    if (event.type === 'step' && event.step === abortAt) aborting ??= abort();
  }
})();
if (kill.afterMs !== undefined) void systemClock.sleep(kill.afterMs).then(die);
const [known] = migrations.list();
const { id } = known ?? (await migrations.start(request));
await migrations.settled(id);
await aborting;
const view = await migrations.settled(id);
stop.abort();
await migrations.close();
await jobs.close();
process.stdout.write(`${JSON.stringify({ view, moments })}\n`);
process.exit(0);
