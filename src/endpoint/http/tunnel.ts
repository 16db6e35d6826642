/**
 * A way through a proxy to a secure server: CONNECT (RFC 9110 §9.3.6), then TLS from end to end. It fails at once where
 * the proxy does: undici's own way tries without end with a proxy that hangs up.
 */
import { once } from 'node:events';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { buildConnector } from 'undici';
import { watchSilence } from '../../core/clock.js';
import type { HttpTls } from './access.js';
import { httpError } from './call.js';
import type { ProxyServer } from './proxy.js';

/** The code of an error for a proxy that answered with this status. */
export const PROXY_STATUS = 'PROXY_STATUS_';

export interface TunnelParts {
  readonly proxy: ProxyServer;
  readonly tls: HttpTls;
  readonly silenceMsMax: number;
}

export function tunnelConnector(parts: TunnelParts): buildConnector.connector {
  return ({ hostname, port }, callback) => {
    const host = hostname.replace(/^\[(.*)\]$/, '$1');
    secured(host, Number(port || 443), parts).then(
      (socket) => callback(null, socket),
      (error) => callback(error, null),
    );
  };
}

async function secured(host: string, port: number, parts: TunnelParts): Promise<TLSSocket> {
  const socket = await tunnel(isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`, parts);
  // An address is no server name (RFC 6066 §3); the certificate is then checked against the address.
  const name = isIP(host) === 0 ? { servername: host } : {};
  const options = { ...parts.tls, ...name, socket, host, ALPNProtocols: ['http/1.1'] };
  const tls = connectTls(options as ConnectionOptions);
  await silentFor(tls, parts.silenceMsMax, once(tls, 'secureConnect'));
  return tls;
}

async function tunnel(authority: string, { proxy, tls: { ca }, silenceMsMax }: TunnelParts): Promise<Socket> {
  const { url, authorization } = proxy;
  const request = (url.startsWith('https:') ? requestHttps : requestHttp)(url, {
    method: 'CONNECT',
    path: authority,
    agent: false,
    // Said here, it is for the connecting too.
    timeout: silenceMsMax,
    headers: { host: authority, ...(authorization !== undefined && { 'proxy-authorization': authorization }) },
    ...(ca !== undefined && { ca }),
  });
  request.end();
  const [answer, socket, head] = await silentFor(request, silenceMsMax, once(request, 'connect'));
  const { statusCode = 0 } = answer;
  if (statusCode < 200 || statusCode > 299) {
    socket.destroy();
    throw httpError(`${PROXY_STATUS}${statusCode}`, 'the proxy opened no tunnel');
  }
  if (head.length > 0) socket.unshift(head);
  socket.setNoDelay(true);
  return socket;
}

type Watched = Parameters<typeof watchSilence>[0] & {
  once(event: 'timeout', then: () => void): unknown;
  removeListener(event: 'timeout', then: () => void): unknown;
  destroy(error: Error): unknown;
};

/** What is waited for, as long as something is heard. */
async function silentFor<T>(watched: Watched, ms: number, awaited: Promise<T>): Promise<T> {
  const tooLong = (): void => void watched.destroy(httpError('ETIMEDOUT', 'the proxy was silent'));
  watchSilence(watched, ms);
  watched.once('timeout', tooLong);
  try {
    return await awaited;
  } finally {
    watchSilence(watched, 0);
    watched.removeListener('timeout', tooLong);
  }
}
