/**
 * What a migration has done, in a form that can be shown to others: every step with its times, every file with its
 * digest, signed with the key of the service. One changed character makes it no receipt.
 */
import { createHash, createPublicKey, sign, verify } from 'node:crypto';
import { TransferError } from '../core/errors.js';
import type { Receipt, ReceiptContent } from './receipt-form.js';
import type { ReceiptKey } from './receipt-key.js';

export function signReceipt(content: ReceiptContent, key: ReceiptKey): Receipt {
  const { publicKey, fingerprint } = key;
  const about = { algorithm: 'ed25519', publicKey, fingerprint } as const;
  const value = sign(null, canonicalBytes({ ...content, signature: about }), key.privateKey).toString('base64');
  return { ...content, signature: { ...about, value } };
}

/**
 * @param fingerprint of the key that it must be signed with; without one, any key proves only that nothing was changed
 * @throws TransferError E_INTEGRITY
 */
export function verifyReceipt(value: unknown, fingerprint?: string): Receipt {
  const receipt = value as Receipt;
  const signature = receipt?.signature;
  if (receipt?.schema !== 1 || receipt.kind !== 'blockferry-migration' || signature?.algorithm !== 'ed25519') {
    throw notWhole('this is no receipt of a migration, or of a later version');
  }
  const { value: given, ...about } = signature;
  const der = Buffer.from(String(about.publicKey), 'base64');
  const shown = createHash('sha256').update(der).digest('hex');
  if (shown !== about.fingerprint) throw notWhole('the fingerprint in the receipt is not that of its key');
  if (fingerprint !== undefined && fingerprint.toLowerCase() !== shown) {
    throw notWhole(`the receipt is signed with the key ${shown}, and not with ${fingerprint}`);
  }
  if (!isSigned(canonicalBytes({ ...receipt, signature: about }), der, String(given))) {
    throw notWhole('the receipt was changed after it was signed');
  }
  return receipt;
}

function isSigned(bytes: Buffer, der: Buffer, value: string): boolean {
  const signature = Buffer.from(value, 'base64');
  // Base64 can be written in several ways, and only one of them is the receipt that was signed.
  if (signature.toString('base64') !== value) return false;
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' && verify(null, bytes, key, signature);
  } catch (cause) {
    throw notWhole('the key in the receipt cannot be read', cause);
  }
}

/** JSON without spaces, its keys in the order of their characters: the same bytes however it was written down. */
export function canonicalBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(sorted(value)));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  entries.sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, field]) => [key, sorted(field)]));
}

function notWhole(what: string, cause?: unknown): TransferError {
  return new TransferError('E_INTEGRITY', what, {
    hint: 'Ask the host that made it for its receipt, and for the fingerprint of its key.',
    ...(cause !== undefined && { cause }),
  });
}
