/**
 * Who asks: the environment's own keys, at once; else shared files, profiles and instance metadata through the library
 * that knows them all, loaded only then. Each thread asks for itself, so that no ref carries a secret and keys that
 * expire are renewed.
 */
import { TransferError } from '../../core/errors.js';
import { nameOf, type S3Place } from './place.js';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

type Provider = () => Promise<S3Credentials>;

/** Of this thread, by profile; the library keeps and renews what they answer. */
const providers = new Map<string, Promise<Provider>>();

/** Undefined: nothing is to be signed. @throws TransferError E_AUTH when there are none */
export async function credentialsFor(place: S3Place): Promise<S3Credentials | undefined> {
  if (place.anonymous) return undefined;
  const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN } = process.env;
  if (place.profile === undefined && AWS_ACCESS_KEY_ID && AWS_SECRET_ACCESS_KEY) {
    return {
      accessKeyId: AWS_ACCESS_KEY_ID,
      secretAccessKey: AWS_SECRET_ACCESS_KEY,
      ...(AWS_SESSION_TOKEN && { sessionToken: AWS_SESSION_TOKEN }),
    };
  }
  const profile = place.profile ?? '';
  const provider = providers.get(profile) ?? loadProvider(place.profile);
  providers.set(profile, provider);
  try {
    return await (await provider)();
  } catch (cause) {
    throw new TransferError('E_AUTH', `${nameOf(place)}: no credentials were found`, {
      hint:
        'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws/credentials by profile=NAME; ' +
        'a public object is read with anonymous=true.',
      cause: cause instanceof Error ? cause.message : String(cause),
    });
  }
}

/** The library has opinions about environments, which are none of a copy's. */
const ignore = (): void => undefined;
const SILENT = { debug: ignore, info: ignore, warn: ignore, error: ignore };

async function loadProvider(profile: string | undefined): Promise<Provider> {
  const { defaultProvider } = await import('@aws-sdk/credential-provider-node');
  return defaultProvider({ logger: SILENT, ...(profile !== undefined && { profile }) });
}
