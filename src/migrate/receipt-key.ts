/** The key that receipts are signed with: made once for a state folder, and for its user alone. */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { TransferError } from '../core/errors.js';
import { makeFolders } from '../endpoint/state-folder.js';
import { assertPrivate, writePrivately } from '../platform/private-file.js';
import { syncFolder } from '../platform/publish.js';

export interface ReceiptKey {
  readonly privateKey: KeyObject;
  /** SPKI, in base64. */
  readonly publicKey: string;
  /** SHA-256 of the key, in hex. */
  readonly fingerprint: string;
}

/** @throws TransferError E_AUTH when others may read it, E_STORE when it is no key */
export function receiptKey(stateFolder: string): ReceiptKey {
  const path = join(stateFolder, 'receipt-key.pem');
  const kept = assertPrivate(path);
  if (kept) return described(readKey(path, kept));
  makeFolders(stateFolder);
  const { privateKey } = generateKeyPairSync('ed25519');
  writePrivately(path, privateKey.export({ format: 'pem', type: 'pkcs8' }).toString());
  syncFolder(stateFolder);
  return described(privateKey);
}

function readKey(path: string, pem: Buffer): KeyObject {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    throw damaged(path, cause);
  }
  throw damaged(path);
}

function damaged(path: string, cause?: unknown): TransferError {
  return new TransferError('E_STORE', `${path} holds no Ed25519 key`, {
    hint: 'Restore it from a backup. Or move it away: a new one is made, and others must be told its fingerprint.',
    ...(cause !== undefined && { cause }),
  });
}

function described(privateKey: KeyObject): ReceiptKey {
  const der = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  const fingerprint = createHash('sha256').update(der).digest('hex');
  return { privateKey, publicKey: der.toString('base64'), fingerprint };
}
