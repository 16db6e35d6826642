/**
 * Which proxy stands between this machine and a server: what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say, as
 * curl reads them. Names in lower case win.
 */
import { BlockList, isIP } from 'node:net';
import { TransferError } from '../../core/errors.js';

/** What the environment says; may hold passwords. */
export interface ProxyRules {
  readonly http?: string;
  readonly https?: string;
  /** Hosts that are asked without a proxy. */
  readonly except?: string;
}

export interface ProxyServer {
  /** Without user and password. */
  readonly url: string;
  /** The value of `Proxy-Authorization`. */
  readonly authorization?: string;
}

export function proxyRules(env: NodeJS.ProcessEnv): ProxyRules {
  const all = env.all_proxy || env.ALL_PROXY;
  // In a CGI program whoever sends a request header `Proxy` sets HTTP_PROXY (CVE-2016-5385).
  const http = env.http_proxy || (env.REQUEST_METHOD === undefined && env.HTTP_PROXY) || all;
  const https = env.https_proxy || env.HTTPS_PROXY || all;
  const except = env.no_proxy || env.NO_PROXY;
  return { ...(http && { http }), ...(https && { https }), ...(except && { except }) };
}

/** Undefined: the server is asked directly. @throws TransferError E_USAGE for a proxy that is not one of HTTP */
export function proxyOf(rules: ProxyRules, { protocol, hostname, port }: URL): ProxyServer | undefined {
  const [text, usual] = protocol === 'https:' ? [rules.https, '443'] : [rules.http, '80'];
  if (text === undefined || isExcept(rules.except ?? '', bare(hostname), port || usual)) return undefined;
  const full = text.includes('://') ? text : `http://${text}`;
  const url = URL.canParse(full) ? new URL(full) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    const variable = protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
    throw new TransferError('E_USAGE', `${variable} or ALL_PROXY names no proxy of http or https`, {
      hint: `Write it as http://host:port, or name ${bare(hostname)} in NO_PROXY to ask it directly.`,
    });
  }
  if (url.username === '' && url.password === '') return { url: url.origin };
  return { url: url.origin, authorization: basicOf(url, 'the proxy') };
}

/** What of a request changes on its way through a proxy. */
export interface ProxiedRequest {
  readonly origin: string;
  readonly path: string;
  readonly headers: Record<string, string>;
}

/** To a proxy a plain request names all of its URL (RFC 9112 §3.2.2); a secure one has a tunnel, and stays itself. */
export function asSentThrough<R extends ProxiedRequest>(proxy: ProxyServer | undefined, request: R): R {
  if (proxy === undefined || request.origin.startsWith('https:')) return request;
  const { url: origin, authorization } = proxy;
  const headers = {
    host: new URL(request.origin).host,
    ...request.headers,
    ...(authorization !== undefined && { 'proxy-authorization': authorization }),
  };
  return { ...request, origin, path: request.origin + request.path, headers };
}

/** The value of an authorization by the user and the password in a URL (RFC 7617, in UTF-8). */
export function basicOf({ username, password }: URL, name: string): string {
  try {
    return basic(decodeURIComponent(username), decodeURIComponent(password));
  } catch (cause) {
    throw new TransferError('E_USAGE', `${name}: user name or password cannot be read`, {
      hint: 'Write special characters in user name or password as %XX, % itself as %25.',
      cause,
    });
  }
}

export function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

/** Without the brackets of an IPv6 address. */
const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, '$1');

/** Hosts with all below them, addresses, networks such as 10.0.0.0/8, each with a port or without, or `*`. */
function isExcept(list: string, host: string, port: string): boolean {
  const items = list.split(/[\s,]+/).filter((item) => item !== '');
  return items.some((item) => item === '*' || suits(item.toLowerCase(), host.toLowerCase(), port));
}

function suits(item: string, host: string, port: string): boolean {
  if (isIP(host) !== 0 && item.includes('/')) return isInside(item, host);
  const [, named = item, namedPort] = (isIP(item) === 0 && /^(.*):(\d+)$/.exec(item)) || [];
  if (namedPort !== undefined && namedPort !== port) return false;
  const name = bare(named).replace(/^\*?\./, '');
  return name !== '' && (host === name || (isIP(host) === 0 && host.endsWith(`.${name}`)));
}

function isInside(network: string, address: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  const [kind, longest] = isIP(base) === 6 ? (['ipv6', 128] as const) : (['ipv4', 32] as const);
  if (isIP(base) === 0 || isIP(base) !== isIP(address) || !/^\d{1,3}$/.test(bits) || Number(bits) > longest)
    return false;
  const list = new BlockList();
  list.addSubnet(base, Number(bits), kind);
  return list.check(address, kind);
}
