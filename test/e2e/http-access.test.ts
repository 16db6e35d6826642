/** Servers that want to know who asks, and ways to them that lead through proxies, with a real nginx at the end. */
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, diskDigest, type HttpOptions, verify } from '../../src/index.js';
import { type Authority, makeAuthority, type Signed } from '../support/certificates.js';
import { bytesOf, failureOf, scratchFolder, targetIn } from '../support/copying.js';
import { type ForwardProxy, startForwardProxy } from '../support/forward-proxy.js';
import { type Nginx, nginxAvailable, startNginx } from '../support/nginx.js';

const disk = bytesOf(2 * MiB + 7, 'access');

describe.skipIf(!nginxAvailable())('with nginx', () => {
  let folder: string;
  let authority: Authority;
  let client: Signed;
  let nginx: Nginx;
  let [plain, basic, bearer, secure, mutual, misnamed, expired, narrow]: string[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'http-access-'));
    writeFileSync(join(folder, 'disk.img'), disk);
    writeFileSync(join(folder, 'users'), 'ferry:{PLAIN}pass word\n');
    authority = makeAuthority(folder);
    client = authority.sign('client', 'DNS:client');
    const tls = authority.sign('server');
    nginx = await startNginx(
      folder,
      {},
      { directives: `auth_basic "disks"; auth_basic_user_file "${folder}/users";` },
      {
        directives:
          'if ($http_authorization != "Bearer tok.en") { return 401; } if ($http_x_key != "k, l") { return 403; }',
      },
      { tls },
      { tls, directives: `ssl_client_certificate "${authority.ca}"; ssl_verify_client on;` },
      { tls: authority.sign('elsewhere', 'DNS:elsewhere.test') },
      { tls: authority.sign('old', 'IP:127.0.0.1', -1) },
      { limitRate: 512 * 1024, directives: 'limit_conn each 2;' },
    );
    [plain, basic, bearer, secure, mutual, misnamed, expired, narrow] = [...nginx.urls];
    vi.stubEnv('NETRC', undefined);
    vi.stubEnv('HOME', folder);
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    await nginx.stop();
    await rm(folder, { recursive: true, force: true });
  });

  function env(variables: Readonly<Record<string, string>>): void {
    const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
    onTestFinished(() => {
      for (const [name, value] of before) vi.stubEnv(name, value);
    });
  }

  /** Copies the disk and compares it. */
  async function expectCopied(url: string, http?: HttpOptions): Promise<void> {
    const { target } = targetIn(scratchFolder());
    const options = { workers: 2, ...(http && { http }) };
    await copy({ source: `${url}/disk.img`, target, chunkBytes: 256 * 1024, ...options }).result;
    expect(readFileSync(target).equals(disk)).toBe(true);
    expect(await verify({ target, source: `${url}/disk.img`, ...options }).result).toMatchObject({ same: true });
  }

  const refusal = (url: string, http?: HttpOptions) =>
    failureOf(
      copy({ source: `${url}/disk.img`, target: targetIn(scratchFolder()).target, workers: 1, ...(http && { http }) })
        .result,
    );

  test('user and password come from the URL or from a netrc file', async () => {
    await expectCopied(basic?.replace('http://', 'http://ferry:pass%20word@') as string);
    const netrc = join(scratchFolder(), 'netrc');
    writeFileSync(netrc, 'machine 127.0.0.1\nlogin ferry password "pass word"\n', { mode: 0o600 });
    env({ NETRC: netrc });
    await expectCopied(basic as string);
    await expectCopied(basic?.replace('http://', 'http://ferry@') as string);
  });

  test('a refusal says where credentials come from', async () => {
    const error = await refusal(basic as string);
    expect(error).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('netrc') });
  });

  test('a token from a file or the environment, and headers, go with every request', async () => {
    const headers = { 'X-Key': 'k, l' };
    const tokenFile = join(scratchFolder(), 'token');
    writeFileSync(tokenFile, 'tok.en\n', { mode: 0o600 });
    await expectCopied(bearer as string, { headers, tokenFile });
    env({ BLOCKFERRY_HTTP_TOKEN: 'tok.en' });
    await expectCopied(bearer as string, { headers });
    expect((await refusal(bearer as string)).message).toContain('status 403');
  });

  test('a disk behind all of that is looked into as well', async () => {
    env({ BLOCKFERRY_HTTP_TOKEN: 'tok.en' });
    const image = `${bearer}/disk.img`;
    const { digests } = await diskDigest({ image, of: 'content', http: { headers: { 'x-key': 'k, l' } } }).result;
    expect(digests).toMatchObject([{ of: 'content', size: disk.length }]);
  });

  test('a server is trusted by the authority that was given, and else refused with the way out', async () => {
    await expectCopied(secure as string, { caFile: authority.ca });
    const error = await refusal(secure as string);
    expect(error).toMatchObject({ code: 'E_NETWORK', hint: expect.stringContaining('--ca FILE') });
  });

  test.each([
    ['of another host', () => misnamed, 'another host'],
    ['that is over', () => expired, 'not valid at this time'],
  ])('a certificate %s is refused, whoever signed it', async (_what, url, says) => {
    const error = await refusal(url() as string, { caFile: authority.ca });
    expect(error).toMatchObject({ code: 'E_NETWORK', message: expect.stringContaining(says) });
  });

  test('a client certificate is shown where it is wanted; without one the refusal names it', async () => {
    const trust = { caFile: authority.ca };
    await expectCopied(mutual as string, { ...trust, certFile: client.cert, keyFile: client.key });
    const both = join(scratchFolder(), 'both.pem');
    writeFileSync(both, readFileSync(client.cert, 'utf8') + readFileSync(client.key, 'utf8'));
    await expectCopied(mutual as string, { ...trust, certFile: both });
    expect((await refusal(mutual as string, trust)).hint).toContain('--cert');
  });

  test('a server that takes two requests at a time is content with two connections, and busy with more', async () => {
    const retriesWith = async (http: HttpOptions): Promise<number> => {
      const { target } = targetIn(scratchFolder());
      const run = copy({ source: `${narrow}/disk.img`, target, chunkBytes: 768 * 1024, lanes: 16, http });
      let retries = 0;
      for await (const event of run) if (event.type === 'retry') retries++;
      await run.result;
      expect(readFileSync(target).equals(disk)).toBe(true);
      return retries;
    };
    expect(await retriesWith({ connections: 2 })).toBe(0);
    expect(await retriesWith({ connections: 6 })).toBeGreaterThan(0);
  });

  describe('through a proxy', () => {
    let proxy: ForwardProxy;
    beforeAll(async () => {
      proxy = await startForwardProxy('who:it is');
    });
    afterAll(() => proxy.stop());
    const through = (login: string): Record<string, string> => ({ http_proxy: `http://${login}${proxy.host}` });

    test('plain requests are forwarded, and secure ones go through a tunnel', async () => {
      const before = proxy.asked.length;
      env({ ...through('who:it%20is@'), HTTPS_PROXY: `who:it%20is@${proxy.host}`, NO_PROXY: 'elsewhere.test' });
      await expectCopied(plain as string);
      expect(proxy.asked.slice(before)).toContain(`GET ${plain}/disk.img`);
      const tunnelled = proxy.asked.length;
      await expectCopied(secure as string, { caFile: authority.ca });
      await expectCopied(mutual as string, { caFile: authority.ca, certFile: client.cert, keyFile: client.key });
      const tunnels = proxy.asked.slice(tunnelled);
      expect(tunnels.length).toBeGreaterThan(0);
      expect(tunnels.every((asked) => /^CONNECT 127\.0\.0\.1:\d+$/.test(asked))).toBe(true);
    });

    test('a server that NO_PROXY names is asked directly', async () => {
      env({ ...through(''), ALL_PROXY: proxy.host, NO_PROXY: '127.0.0.0/8' });
      const before = proxy.asked.length;
      await expectCopied(plain as string);
      await expectCopied(secure as string, { caFile: authority.ca });
      expect(proxy.asked.length).toBe(before);
    });

    test('a proxy that does not know who asks is told from the server, and no word of a password is said', async () => {
      env({ ...through('who:secret@'), https_proxy: `http://who:secret@${proxy.host}` });
      for (const url of [plain, secure] as string[]) {
        const error = await refusal(url, { caFile: authority.ca });
        expect(error).toMatchObject({ code: 'E_AUTH', hint: expect.stringContaining('HTTP_PROXY') });
        expect(error.message).toContain('407');
        expect(JSON.stringify(error.toJSON())).not.toContain('secret');
      }
    });

    test('a proxy is no way around the checks of certificates', async () => {
      env({ https_proxy: `http://who:it%20is@${proxy.host}` });
      expect((await refusal(secure as string)).hint).toContain('--ca FILE');
      expect((await refusal(misnamed as string, { caFile: authority.ca })).message).toContain('another host');
    });

    test('a proxy that is not there is a network error that names where to look', async () => {
      env({ http_proxy: 'http://127.0.0.1:1' });
      const error = await refusal(plain as string);
      expect(error).toMatchObject({ code: 'E_NETWORK', hint: expect.stringContaining('proxy') });
    });
  });
});
