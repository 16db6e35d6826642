/**
 * The last step of the build: puts beside the compiled page whatever else a browser asks for, so that all of it lies in
 * one folder. Modules that the page shares with the rest of Blockferry are copied there too, and the page's imports of
 * them are led to the copies.
 */
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const own = fileURLToPath(new URL('.', import.meta.url));
const root = fileURLToPath(new URL('../../..', import.meta.url));
const page = join(root, 'dist/src/daemon/dashboard');

const copies = [
  ...['page.html', 'page.css', 'icon.svg'].map((name) => [join(own, name), name]),
  ...['dist/uPlot.iife.min.js', 'dist/uPlot.min.css'].map((path) => [join(root, 'node_modules/uplot', path)]),
  [join(root, 'node_modules/uplot/LICENSE'), 'uPlot.LICENSE'],
  ...['core/clock', 'core/errors', 'core/units', 'service/job', 'transfer/chunk-map'].map((module) => [
    join(root, `dist/src/${module}.js`),
  ]),
];

for (const [from, to = basename(from)] of copies) {
  const compiledFrom = join(own, to.replace(/\.js$/, '.ts'));
  if (to.endsWith('.js') && existsSync(compiledFrom)) throw new Error(`${from} would replace what ${compiledFrom} is.`);
  copyFileSync(from, join(page, to));
}

for (const name of readdirSync(page).filter((one) => one.endsWith('.js'))) {
  const path = join(page, name);
  const text = readFileSync(path, 'utf8');
  const led = text.replace(/(\bfrom ['"])\.\.\/\.\.\/\w+\//g, '$1./');
  if (led !== text) writeFileSync(path, led);
  for (const [, other] of led.matchAll(/\bfrom ['"](\.[^'"]*)['"]/g)) {
    if (!existsSync(join(page, other))) throw new Error(`${name} imports ${other}, which is not part of the page.`);
  }
}
