/**
 * A webhook: the event as it is told everywhere, posted as JSON. Whoever gets it can prove that it is ours by the
 * signature, and that it is fresh by the time in it.
 */
import { createHmac } from 'node:crypto';
import type { Dispatcher } from 'undici';
import { TransferError } from '../../core/errors.js';
import { parseRetryAfter } from '../../core/retry-after.js';
import { redactedUrl } from '../../endpoint/location.js';
import type { Webhook } from '../job.js';
import { type Limits, within } from './within.js';

export const WEBHOOK_MS_MAX = 10_000;
/** Of an answer, which nobody reads. */
const ANSWER_BYTES_MAX = 64 * 1024;
/** Who asks for a longer wait is asked earlier: a notice that comes a day late helps nobody. */
const RETRY_AFTER_MS_MAX = 120_000;
const TRY_AGAIN: ReadonlySet<number> = new Set([408, 425, 429]);

/** Its scheme, host and path. @throws TransferError E_USAGE for what cannot be posted to */
function webhookName({ url }: Webhook): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed && /^https?:$/.test(parsed.protocol)) return redactedUrl(url);
  throw new TransferError('E_USAGE', 'a webhook is no http or https URL', { hint: 'Such as https://host/path.' });
}

/** `t=<seconds since 1970>,v1=<hex of HMAC-SHA-256(secret, t + "." + body)>` */
function signatureOf(secret: string, seconds: number, body: string): string {
  const mac = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex');
  return `t=${seconds},v1=${mac}`;
}

/** @throws TransferError E_UNAVAILABLE, E_NETWORK or E_TIMEOUT when it may be tried again, E_HTTP_STATUS otherwise */
export async function callWebhook(
  webhook: Webhook,
  body: string,
  { dispatcher, ...limits }: Limits & { readonly dispatcher: Dispatcher },
): Promise<void> {
  const name = webhookName(webhook);
  const url = new URL(webhook.url);
  const now = limits.clock.wallMs();
  const { secret } = webhook;
  const headers = {
    'content-type': 'application/json',
    'user-agent': 'blockferry',
    ...(secret === undefined ? {} : { 'blockferry-signature': signatureOf(secret, Math.floor(now / 1000), body) }),
    ...(url.username === '' && url.password === '' ? {} : { authorization: basicOf(url) }),
  };
  await within(WEBHOOK_MS_MAX, limits, async (signal, late) => {
    try {
      const { origin } = url;
      const path = `${url.pathname}${url.search}`;
      const answer = await dispatcher.request({ origin, path, method: 'POST', headers, body, signal });
      const { statusCode } = answer;
      // What follows the status changes nothing.
      await answer.body.dump({ limit: ANSWER_BYTES_MAX, signal }).catch(() => undefined);
      if (statusCode < 200 || statusCode > 299) throw refused(name, statusCode, answer.headers['retry-after'], now);
    } catch (thrown) {
      if (thrown instanceof TransferError) throw thrown;
      if (late())
        throw new TransferError('E_TIMEOUT', `${name} did not answer within ${WEBHOOK_MS_MAX / 1000} seconds`);
      throw new TransferError('E_NETWORK', `${name} could not be reached: ${causeOf(thrown)}`, { cause: thrown });
    }
  });
}

function refused(name: string, status: number, after: string | string[] | undefined, now: number): TransferError {
  const redirect = status >= 300 && status < 400 ? ', a redirect, which is not followed' : '';
  const message = `${name} answered with status ${status}${redirect}`;
  if (status < 500 && !TRY_AGAIN.has(status)) {
    return new TransferError('E_HTTP_STATUS', message, { hint: 'Check the address of the webhook.' });
  }
  const askedMs = parseRetryAfter(String(after ?? ''), now);
  const retryAfterMs = askedMs === undefined ? 0 : Math.min(askedMs, RETRY_AFTER_MS_MAX);
  return new TransferError('E_UNAVAILABLE', message, { retryAfterMs });
}

function basicOf({ username, password }: URL): string {
  const plain = [username, password].map(decodeURIComponent).join(':');
  return `Basic ${Buffer.from(plain).toString('base64')}`;
}

function causeOf(thrown: unknown): string {
  const { code, message } = thrown as NodeJS.ErrnoException;
  return code ?? message;
}
