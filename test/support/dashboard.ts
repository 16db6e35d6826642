/** The page of a service in a real browser: a real door over a service in memory, and somebody who is signed in. */
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { Caller } from '../../src/service/job-service.js';
import { type OpenPage, openPage, startBrowser } from './browser.js';
import { LOOPBACK, startTestControl, type TestControl, type TestControlOptions } from './control.js';

/** What the build made of it. */
export const BUILT_PAGE = fileURLToPath(new URL('../../dist/src/daemon/dashboard', import.meta.url));

export const ALICE: Caller = { name: 'alice', admin: true };
export const GiB = 1024 ** 3;

export interface Dashboard {
  readonly control: TestControl;
  readonly browser: Browser;
  readonly token: string;
  /** Signed in as alice, in a context of its own, at the list of jobs. */
  open(options?: BrowserContextOptions): Promise<OpenPage>;
  stop(): Promise<void>;
}

/** `more`: what the service offers beside jobs. */
export async function startDashboard(more: TestControlOptions = {}): Promise<Dashboard> {
  const control = await startTestControl({ http: LOOPBACK, page: BUILT_PAGE, ...more });
  try {
    const browser = await startBrowser();
    const token = await control.token(ALICE.name, 'admin');
    const stop = async (): Promise<void> => {
      await browser.close();
      await control.stop();
    };
    const open = async (options?: BrowserContextOptions): Promise<OpenPage> => {
      const opened = await openPage(browser, `${control.url}/#token=${token}`, options);
      await opened.page.getByText('Live', { exact: true }).waitFor();
      await opened.page.getByRole('heading', { name: 'Jobs' }).waitFor();
      return opened;
    };
    return { control, browser, token, open, stop };
  } catch (thrown) {
    await control.stop();
    throw thrown;
  }
}

/** Of what another process does: it is looked at again until it is as expected, or this is late beyond doubt. */
export function eventually<T>(look: () => T | Promise<T>) {
  return expect.poll(look, { timeout: 20_000 });
}

/** To a view of the page that is open, such as `#/policy`, by its address. */
export async function goTo(page: Page, view: string): Promise<void> {
  await page.evaluate((hash) => {
    location.hash = hash;
  }, view);
}

/** A job of alice's, of a file each. */
export function makeJob({ service }: TestControl, name: string, more: object = {}, files = 1) {
  const numbers = Array.from({ length: files }, (_none, at) => at);
  const spec = numbers.map((at) => ({ source: `/vm/${name}-${at}.vhdx`, target: `/vault/${name}-${at}.vhdx` }));
  return service.create({ name, files: spec, ...more }, ALICE);
}
