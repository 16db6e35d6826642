/** Debian's Chromium for tests, and pages of it that note whatever a page must not do. */
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { commandAvailable } from './servers.js';

export const browserAvailable = (): boolean => commandAvailable('chromium');

/** Root has no sandbox to give. */
export function startBrowser(): Promise<Browser> {
  const args = ['--disable-gpu', ...(process.getuid?.() === 0 ? ['--no-sandbox'] : [])];
  return chromium.launch({ executablePath: '/usr/bin/chromium', args });
}

/** What a page did that it must not. */
export interface Misdeeds {
  /** Errors and warnings of the console, and what was thrown and caught by nobody. */
  readonly complaints: string[];
  /** Requests to any other place than where the page is from. */
  readonly elsewhere: string[];
}

export interface OpenPage extends Misdeeds {
  readonly page: Page;
}

export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<OpenPage> {
  const context = await browser.newContext({ reducedMotion: 'reduce', locale: 'en-GB', ...options });
  const page = await context.newPage();
  const [complaints, elsewhere]: [string[], string[]] = [[], []];
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => complaints.push(String(error.stack)));
  context.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) elsewhere.push(request.url());
  });
  await page.goto(url);
  return { page, complaints, elsewhere };
}
