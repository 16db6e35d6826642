/** The page itself: signs in, keeps what it knows up to date, and shows the view that the address names. */
import { systemClock } from '../../core/clock.js';
import { PRIORITIES } from '../../service/job.js';
import { Announcer } from './announcer.js';
import { Api, ApiError, type ServiceView } from './api.js';
import type { App } from './app.js';
import { Banners } from './banner.js';
import { setAttribute, setText } from './dom.js';
import { JobBook } from './job-book.js';
import { Keeper, type KeeperListener } from './keeper.js';
import { MigrationBook } from './migration-book.js';
import { RateHistory } from './rate-history.js';
import { askForToken, tokenInAddress } from './sign-in.js';
import { Views } from './views.js';

const SECOND_MS = 1000;
const byId = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;
const place = byId('view');
const banners = new Banners(byId('banners'));
const api = new Api();

void start();

async function start(): Promise<void> {
  listenToHeader();
  const service = await signIn(tokenInAddress());
  const app = appFor(service);
  if (app.migrations) byId('to-migrations').hidden = false;
  const views = new Views(app, place, document.querySelectorAll<HTMLAnchorElement>('#views a'), () =>
    banners.hide('good'),
  );
  const keeper = new Keeper(app, service, listener(app, views));
  app.jobs.watch(() => showMigrations(app));
  setText(byId('caller'), service.caller.name);
  for (const id of ['views', 'who']) byId(id).hidden = false;
  await app.attempt(() => app.reload());
  await views.show(true);
  for (;;) {
    noteRates(app, keeper.connected);
    views.shown?.tick?.();
    await systemClock.sleep(SECOND_MS - (systemClock.wallMs() % SECOND_MS));
  }
}

function listenToHeader(): void {
  byId('sign-out').addEventListener('click', () => void api.signOut().finally(() => location.reload()));
  document.querySelector('.skip')?.addEventListener('click', (event) => {
    event.preventDefault();
    place.focus();
  });
}

/** Asks for a token only where the service does not let us in without one. */
async function signIn(token: string | undefined): Promise<ServiceView> {
  for (let tried = false; ; tried = true) {
    try {
      if (token !== undefined && !tried) await api.signIn(token);
      return await api.service();
    } catch (thrown) {
      if (!(thrown instanceof ApiError)) throw thrown;
      if (thrown.status === 401) await askForToken(api, place);
      else {
        banners.show('problem', thrown.message, thrown.hint);
        await systemClock.sleep(SECOND_MS);
      }
    }
  }
}

function appFor({ caller, movesMachines }: ServiceView): App {
  const jobs = new JobBook();
  const announcer = new Announcer(byId('announcer'));
  const migrations = movesMachines && caller.admin ? new MigrationBook((text) => announcer.say(text)) : undefined;
  const app: App = {
    ...{ api, jobs, migrations, history: new RateHistory(), announcer, caller, finishedToo: false },
    tell: (text) => {
      banners.show('good', text);
      announcer.say(text);
    },
    reload: async (keepEnded = true) => {
      const { finishedToo } = app;
      const listed = await api.jobs(finishedToo);
      // Whoever wants to see others meanwhile has asked for them.
      if (finishedToo === app.finishedToo) jobs.replace(listed, keepEnded);
    },
    attempt: async (work, done) => {
      try {
        await work();
        banners.hide('problem');
        if (done !== undefined) announcer.say(done);
        return true;
      } catch (thrown) {
        if (!(thrown instanceof ApiError)) throw thrown;
        if (thrown.status === 401) location.reload();
        banners.show('problem', thrown.message, thrown.hint);
        return false;
      }
    },
  };
  return app;
}

function listener(app: App, views: Views): KeeperListener {
  const connection = byId('connection');
  return {
    connected: (live) => {
      setText(connection, live ? 'Live' : 'Not connected');
      setAttribute(connection, 'class', `connection ${live ? 'live' : 'lost'}`);
      if (live) return banners.hide('lost');
      banners.hide('good');
      banners.show('lost', 'The service does not answer.', 'What is shown may be old. The page tries again by itself.');
      app.announcer.say('The service does not answer.');
    },
    back: (again, startedAt) => {
      app.tell(again ? `The service was started again at ${startedAt}.` : 'Connected again.');
    },
    signedOut: () => location.reload(),
    fresh: (job) => views.shown?.fresh?.(job),
    openJob: () => views.job,
  };
}

function showMigrations({ jobs }: App): void {
  const link = byId('to-migrations');
  if (!link.hidden) return;
  for (const { kind } of jobs.all) if (kind === 'migration') link.hidden = false;
}

/** A point a second, of each class and of each job that is under way; none where nothing is known. */
function noteRates({ jobs, history }: App, connected: boolean): void {
  const rates = new Map<string, number>(connected ? PRIORITIES.map((priority) => [priority, 0]) : []);
  for (const { id, state, priority, progress } of jobs.all) {
    if (state !== 'transferring' || !connected) continue;
    rates.set(id, progress.rateBytesPerSecond);
    rates.set(priority, (rates.get(priority) ?? 0) + progress.rateBytesPerSecond);
  }
  history.add(Math.floor(systemClock.wallMs() / SECOND_MS), rates);
}
