/** A bucket of a real gateway, for the tests of one file: what they put there, look at and take away by themselves. */
import { afterAll, type TestContext } from 'vitest';
import { closeHttp } from '../../src/endpoint/http/client.js';
import { closeS3 } from '../../src/endpoint/s3/client.js';
import { type Ceph, cephAvailable, startCeph } from './ceph.js';

export const BUCKET = 'disks';
export const NEEDS_CEPH = 'needs the Ceph Object Gateway (Debian: radosgw ceph-mon ceph-osd)';

let started: Promise<Ceph> | undefined;
afterAll(async () => {
  await closeHttp();
  await closeS3();
  await (await started)?.stop();
});

/** The one gateway of this file, which this process and those that it starts then use; undefined: there is none. */
export async function ceph(): Promise<Ceph | undefined> {
  if (!cephAvailable()) return undefined;
  started ??= begin();
  return started;
}

async function begin(): Promise<Ceph> {
  const one = await startCeph();
  Object.assign(process.env, one.env);
  await one.makeBucket(BUCKET);
  return one;
}

/** The gateway; ends the test where there is none. */
export async function needCeph(context: TestContext): Promise<Ceph> {
  const one = await ceph();
  if (one) return one;
  return context.skip(NEEDS_CEPH);
}

function urlOf({ endpoint }: Ceph, key: string, query = ''): string {
  // All but the slash as RFC 3986 has it.
  const encoded = encodeURIComponent(key).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  return `${endpoint}/${BUCKET}/${encoded.replaceAll('%2F', '/')}${query}`;
}

export async function putObject(
  one: Ceph,
  key: string,
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const answer = await one.client.fetch(urlOf(one, key), {
    method: 'PUT',
    body: bytes as Uint8Array<ArrayBuffer>,
    headers,
  });
  if (!answer.ok) throw new Error(`${key} could not be put: ${await answer.text()}`);
}

export async function getObject(one: Ceph, key: string): Promise<Buffer | undefined> {
  const answer = await one.client.fetch(urlOf(one, key));
  if (answer.status === 404) return undefined;
  if (!answer.ok) throw new Error(`${key} could not be got: ${await answer.text()}`);
  return Buffer.from(await answer.arrayBuffer());
}

/** The ids of unfinished uploads of this key. */
export async function uploadsOf(one: Ceph, key: string): Promise<string[]> {
  const text = await (await one.client.fetch(`${one.endpoint}/${BUCKET}?uploads=`)).text();
  const uploads = text.split('<Upload>').slice(1);
  const ofKey = uploads.filter((upload) => upload.includes(`<Key>${key}</Key>`));
  return ofKey.map((upload) => /<UploadId>([^<]+)</.exec(upload)?.[1] ?? '');
}

/** Puts other bytes in the place of a part, as somebody else might who knows the upload. */
export async function replacePart(one: Ceph, key: string, number: number, bytes: Uint8Array): Promise<void> {
  const [uploadId = ''] = await uploadsOf(one, key);
  const query = `?partNumber=${number}&uploadId=${encodeURIComponent(uploadId)}`;
  const answer = await one.client.fetch(urlOf(one, key, query), {
    method: 'PUT',
    body: bytes as Uint8Array<ArrayBuffer>,
  });
  if (!answer.ok) throw new Error(`part ${number} could not be put: ${await answer.text()}`);
}
