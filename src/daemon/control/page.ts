/** The page: its built files, read once into memory. What is not one of them is not there, whatever a path says. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { errnoOf, TransferError } from '../../core/errors.js';
import type { ControlApp } from './app.js';

interface PageFile {
  readonly body: Buffer;
  readonly type: string;
  readonly tag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

/** `index.html`, and the files of `assets` by their path. @throws TransferError E_USAGE where there is no page */
export function readPage(folder: string): ReadonlyMap<string, PageFile> {
  try {
    const files = new Map<string, PageFile>([['/', readPageFile(folder, 'index.html')]]);
    for (const name of readdirSync(join(folder, 'assets'), { recursive: true, encoding: 'utf8' })) {
      if (TYPES[extname(name)] === undefined || !lstatSync(join(folder, 'assets', name)).isFile()) continue;
      files.set(`/assets/${name}`, readPageFile(folder, join('assets', name)));
    }
    return files;
  } catch (cause) {
    throw new TransferError('E_USAGE', `${folder}: the page cannot be read (${errnoOf(cause) ?? 'damaged'})`, {
      hint: 'Install Blockferry anew; the service itself needs no page.',
      cause,
    });
  }
}

export function addPage(app: ControlApp, files: ReadonlyMap<string, PageFile>): void {
  for (const [path, { body, type, tag }] of files) {
    app.get(path, { config: { open: true }, schema: { hide: true } }, async ({ headers }, reply) => {
      void reply.headers({ etag: tag, 'cache-control': 'no-cache' });
      if (headers['if-none-match'] === tag) return reply.code(304).send();
      return reply.type(type).send(body);
    });
  }
}

function readPageFile(folder: string, name: string): PageFile {
  const body = readFileSync(join(folder, name));
  const tag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
  return { body, tag, type: TYPES[extname(name)] ?? 'application/octet-stream' };
}
