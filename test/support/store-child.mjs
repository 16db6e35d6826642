/**
 * A process that changes jobs in a store until it is killed. What it is about to put and what was put it says before
 * and after, a line each, which outlives it; every version of a job says in all its rows which one it is.
 */
import { writeSync } from 'node:fs';
import { systemClock } from '../../dist/src/core/clock.js';
import { SqliteStore } from '../../dist/src/service/store/sqlite-store.js';

const { folder, template, random: numbers } = JSON.parse(process.argv[2]);
const say = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
let drawn = 0;
const draw = (below) => Math.floor(numbers[drawn++ % numbers.length] * below);

const store = new SqliteStore({ folder, clock: systemClock });
const state = await store.load();
const jobs = new Map(state.jobs.map((job) => [job.id, job]));
let event = state.told.at(-1)?.id ?? 0;
say({ loaded: jobs.size });

function version(job, retries) {
  const files = job.files.map((file) => ({ ...file, size: retries }));
  return { ...job, retries, files };
}

async function put(count) {
  const changed = Array.from({ length: count }, (_, n) => {
    const known = [...jobs.values()];
    const old = known.length > 20 || draw(2) === 0 ? known[draw(known.length)] : undefined;
    const job = old ?? { ...template, id: `${process.pid}-${jobs.size}-${event}-${n}`, retries: 0 };
    const next = version(job, job.retries + 1);
    jobs.set(next.id, next);
    return next;
  });
  const told = changed.map(({ id }) => {
    return { id: ++event, job: id, event: { schema: 1, at: event, type: 'note', message: 'put' } };
  });
  const about = { jobs: changed.map(({ id, retries }) => ({ id, version: retries })), told: told.map(({ id }) => id) };
  say({ begin: about });
  await store.put(changed, told);
  say({ done: about });
}

async function remove() {
  const [id] = [...jobs.keys()];
  if (id === undefined) return;
  jobs.delete(id);
  const about = { jobs: [{ id, removed: true }], told: [] };
  say({ begin: about });
  await store.remove([id]);
  say({ done: about });
}

function progress() {
  const list = [...jobs.values()].slice(0, 5).map((job) => {
    const files = job.files.map((file) => ({ ...file, bytesDone: file.bytesDone + 1 }));
    jobs.set(job.id, { ...job, files });
    return { id: job.id, files, changedAt: event, progressAt: event, transferMs: event };
  });
  store.progress(list);
}

for (let turn = 0; turn < 1_000; turn++) {
  progress();
  await Promise.all(Array.from({ length: 1 + draw(3) }, () => put(1 + draw(4))));
  if (draw(4) === 0) await remove();
}
await store.close();
say({ closed: true });
