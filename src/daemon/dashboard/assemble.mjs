/**
 * The last step of the build: puts beside the compiled modules of the page whatever else a browser asks for, so that
 * one folder is all that a service serves.
 */
import { copyFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = join(root, 'dist/src/daemon/dashboard');
const uPlot = join(root, 'node_modules/uplot');

copyFileSync(join(own, 'index.html'), join(page, 'index.html'));
for (const asset of [
  join(own, 'page.css'),
  join(own, 'migrations.css'),
  join(own, 'icon.svg'),
  join(uPlot, 'dist/uPlot.iife.min.js'),
  join(uPlot, 'dist/uPlot.min.css'),
]) {
  copyFileSync(asset, join(page, 'assets', basename(asset)));
}
copyFileSync(join(uPlot, 'LICENSE'), join(page, 'assets/uPlot.LICENSE.txt'));
