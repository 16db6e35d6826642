/**
 * A host with machines in a process of its own: the daemon with its roots, and the migrations that begin here. What the
 * hypervisor does is asked of the parent, where guests go on when this is killed.
 */
import { askPeer, createRunner, performerParts, serviceParts } from '../../dist/src/compose.js';
import { systemClock } from '../../dist/src/core/clock.js';
import { TransferError } from '../../dist/src/core/errors.js';
import { Daemon } from '../../dist/src/daemon/daemon.js';
import { LocalFiles } from '../../dist/src/migrate/local-files.js';
import { LocalHost } from '../../dist/src/migrate/local-host.js';
import { Migrations } from '../../dist/src/migrate/migrations.js';
import { remoteEnd } from '../../dist/src/migrate/remote-host.js';
import { VmRegistry } from '../../dist/src/migrate/vm-registry.js';
import { Service } from '../../dist/src/service/service.js';
import { InlineRunner } from '../../dist/src/transfer/inline-runner.js';
import { Performer } from '../../dist/src/transfer/perform.js';

const { state, root, host: address, port, killAt } = JSON.parse(process.argv[2]);
const note = (sentence) => process.stderr.write(`${sentence}\n`);
const newRunner = async () => new InlineRunner(new Performer(await performerParts()));

const waiting = new Map();
let asked = 0;
function askParent(name, args) {
  const ask = ++asked;
  const plain = args.filter((one) => typeof one !== 'function' && !(one instanceof AbortSignal));
  return new Promise((resolve, reject) => {
    waiting.set(ask, { resolve, reject });
    process.send({ ask, name, args: plain });
  });
}

const registry = new VmRegistry(state);
const simple = ['state', 'start', 'discardState', 'resume', 'pause', 'stop', 'memoryInUse', 'saveState', 'facts'];
const hypervisor = {
  ...Object.fromEntries(simple.map((name) => [name, (...args) => askParent(name, args)])),
  pid: () => undefined,
  snapshot: async (vm, overlays) => {
    const after = await askParent('snapshot', [registry.get(vm.id), overlays]);
    registry.put(after);
    return after;
  },
  merge: (vm, disks, progress) =>
    registry.locked(vm.id, async () => {
      const after = await askParent('merge', [registry.get(vm.id), disks]);
      for (const { disk } of disks) progress({ disk, bytesDone: 1, bytesTotal: 1 });
      registry.put(after);
      return after;
    }),
};
class Files extends LocalFiles {
  repoint(image, parent) {
    return askParent('repoint', [image, parent]);
  }
}
const files = new Files({ newRunner, clock: systemClock, random: Math.random });
const host = new LocalHost({ registry, hypervisor, checkDisk: async () => ({ images: [] }) });

function die() {
  process.kill(process.pid, 'SIGKILL');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
/** Kills this process when that call has been carried out, and before it is answered. */
function deadly(one) {
  return new Proxy(one, {
    get: (of, name) => {
      const method = of[name];
      if (typeof method !== 'function') return method;
      return async (...args) => {
        const answer = await method.apply(of, args);
        if (name === killAt) die();
        return answer;
      };
    },
  });
}

const jobs = await Service.start({ ...(await serviceParts(state, note)), newRunner });
const local = { name: 'local', host, hypervisor, files };
const end = (name) => (name === 'local' ? local : remoteEnd({ name, clock: systemClock, ask: askPeer(name) }));
const migrations = await Migrations.open({ state, jobs, end, clock: systemClock, note });
const daemon = await Daemon.start(
  { roots: [`images=${root}`], listen: { host: address, port }, threads: 1 },
  {
    runner: await createRunner(1),
    engine: () => Promise.reject(new Error('nothing is pulled here')),
    machines: async () => ({ registry, host: deadly(host), hypervisor: deadly(hypervisor), files: deadly(files) }),
  },
);

const deeds = {
  add: (vm) => host.add(vm),
  host: (name, args) => host[name](...args),
  migrations: (name, args) => migrations[name](...args),
  /** Of that migration, as sentences: `step state`. */
  reached: async (id, step, state) => {
    const stop = new AbortController();
    for await (const { event } of migrations.events({ after: 0, migration: id }, stop.signal)) {
      if (event.type === 'step' && event.step === step && event.state === state) break;
    }
    stop.abort();
  },
};
process.on('message', async ({ ask, name, args, reply, value, error }) => {
  if (reply !== undefined) {
    const { resolve, reject } = waiting.get(reply);
    waiting.delete(reply);
    if (error) reject(TransferError.fromJSON(error));
    else resolve(value);
    return;
  }
  try {
    process.send({ reply: ask, value: await deeds[name](...args) });
  } catch (thrown) {
    process.send({ reply: ask, error: TransferError.from(thrown).toJSON() });
  }
});
process.on('disconnect', () => process.exit(0));
process.send({ port: daemon.port, pin: daemon.fingerprint });
