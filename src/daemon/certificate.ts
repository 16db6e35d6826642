/**
 * The key and the certificate that the daemon shows. Where none are given it makes its own, once: a P-256 key and a
 * certificate signed by itself, which clients pin. Node can sign but not write certificates, so the few structures of
 * one are written here (RFC 5280 §4.1, in the DER of X.690): that spares a package, and a program that may be missing.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { assertPrivate, writePrivately } from '../platform/private-file.js';

export interface Identity {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate, in hex. */
  readonly fingerprint: string;
  readonly made: boolean;
}

const DAY_MS = 24 * 60 * 60 * 1000;
/** What is pinned need not expire soon: nobody renews it unseen. */
const DAYS_VALID = 20 * 365;

/** The one of the state folder, made when there is none. */
export function ownIdentity(folder: string, nowMs: number): Identity {
  const [certPath, keyPath] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const [cert, key] = [assertPrivate(certPath), assertPrivate(keyPath)];
  if (cert && key) return identityOf(cert.toString('utf8'), key.toString('utf8'), false);
  const fresh = makeCertificate('blockferry', nowMs);
  // The key first: a certificate without its key would be taken for a whole pair.
  writePrivately(keyPath, fresh.key);
  writePrivately(certPath, fresh.cert);
  return identityOf(fresh.cert, fresh.key, true);
}

/** @throws TransferError E_USAGE where the two do not belong together, or cannot be read */
export function givenIdentity(certPath: string, keyPath: string): Identity {
  try {
    return identityOf(readFileSync(certPath, 'utf8'), readFileSync(keyPath, 'utf8'), false);
  } catch (cause) {
    if (cause instanceof TransferError) throw cause;
    throw new TransferError('E_USAGE', `the certificate or its key cannot be read (${errnoOf(cause) ?? 'not PEM'})`, {
      hint: 'Give PEM files: --cert FILE with the chain, its own certificate first, and --key FILE.',
      cause,
    });
  }
}

function identityOf(cert: string, key: string, made: boolean): Identity {
  const certificate = new X509Certificate(cert);
  if (!certificate.checkPrivateKey(createPrivateKey(key))) {
    throw new TransferError('E_USAGE', 'the certificate and the key do not belong together', {
      hint: 'Give the key that it was made for. Those of the state folder can be removed: new ones are made.',
    });
  }
  return { cert, key, made, fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase() };
}

/** Object identifiers, encoded: ecdsa-with-SHA256, commonName, basicConstraints, subjectAltName. */
const OID = {
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  commonName: [0x55, 0x04, 0x03],
  basicConstraints: [0x55, 0x1d, 0x13],
  subjectAltName: [0x55, 0x1d, 0x11],
} as const;
const TAG = { integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, time: 0x18, sequence: 0x30, set: 0x31 };
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;

function makeCertificate(name: string, nowMs: number): { readonly cert: string; readonly key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const who = sequence(der(TAG.set, sequence(oid(OID.commonName), der(TAG.utf8, Buffer.from(name)))));
  const extensions = sequence(
    sequence(oid(OID.basicConstraints), der(TAG.octets, sequence())),
    sequence(oid(OID.subjectAltName), der(TAG.octets, sequence(der(DNS_NAME, Buffer.from(name))))),
  );
  const content = sequence(
    der(VERSION, der(TAG.integer, Buffer.from([2]))),
    der(TAG.integer, serialNumber()),
    algorithm,
    who,
    sequence(time(nowMs - DAY_MS), time(nowMs + DAYS_VALID * DAY_MS)),
    who,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, extensions),
  );
  const signature = der(TAG.bits, Buffer.concat([Buffer.from([0]), sign('sha256', content, privateKey)]));
  const body = sequence(content, algorithm, signature)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n');
  const label = (edge: string): string => `-----${edge} CERTIFICATE-----`;
  return {
    cert: `${label('BEGIN')}\n${body}\n${label('END')}\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Positive, and not zero (RFC 5280 §4.1.2.2). */
function serialNumber(): Buffer {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

/** GeneralizedTime, which RFC 5280 has for dates from 2050 on and which all readers take before. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/\D/g, '').slice(0, 14);
  const short = Number(digits.slice(0, 4)) < 2050;
  return short ? der(0x17, Buffer.from(`${digits.slice(2)}Z`)) : der(TAG.time, Buffer.from(`${digits}Z`));
}

function oid(bytes: readonly number[]): Buffer {
  return der(TAG.oid, Buffer.from(bytes));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts));
}

/** Tag, length, content; a length from 128 on takes bytes of its own. */
function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
