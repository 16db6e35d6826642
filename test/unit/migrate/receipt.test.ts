import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.js';
import { signReceipt, verifyReceipt } from '../../../src/migrate/receipt.js';
import type { Receipt, ReceiptContent } from '../../../src/migrate/receipt-form.js';
import { receiptKey } from '../../../src/migrate/receipt-key.js';
import { scratchFolder } from '../../support/copying.js';

const CONTENT: ReceiptContent = {
  schema: 1,
  kind: 'blockferry-migration',
  migration: 'a7f0a1a8-0000-4000-8000-000000000000',
  vm: { id: 'b1', name: 'wëb' },
  from: 'local',
  to: 'peer://other:7420',
  steps: [{ step: 'check', startedAt: 1, doneAt: 2 }],
  files: [
    {
      ...{ disk: 'd0', kind: 'base', source: '/a/d0.img', target: '/b/d0.img', bytes: 5 },
      ...{ sha256: 'ab'.repeat(32), root: 'cd'.repeat(32), chunkBytes: 8 },
    },
  ],
  blackout: { predictedMs: 600, measuredMs: 580 },
  keepSource: false,
};

function refusal(receipt: unknown, fingerprint?: string): TransferError {
  try {
    verifyReceipt(receipt, fingerprint);
  } catch (thrown) {
    if (thrown instanceof TransferError) return thrown;
    throw thrown;
  }
  throw new Error('the receipt was believed');
}

test('a receipt is believed however its JSON is written down, and the key is the same at the next start', () => {
  const state = scratchFolder();
  const receipt = signReceipt(CONTENT, receiptKey(state));
  const { fingerprint } = receiptKey(state);
  expect(verifyReceipt(JSON.parse(JSON.stringify(receipt, undefined, 2)), fingerprint)).toEqual(receipt);
  const turned = Object.fromEntries(Object.entries(receipt).reverse());
  expect(verifyReceipt(turned, fingerprint.toUpperCase())).toEqual(receipt);
  expect(signReceipt(CONTENT, receiptKey(state))).toEqual(receipt);
});

test('any change of a receipt is found', () => {
  const receipt = signReceipt(CONTENT, receiptKey(scratchFolder()));
  const text = JSON.stringify(receipt);
  let changes = 0;
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === '0' ? '1' : '0';
    let changed: unknown;
    try {
      changed = JSON.parse(text.slice(0, at) + other + text.slice(at + 1));
    } catch {
      // It is no JSON any more, which is found before.
      continue;
    }
    changes++;
    expect(refusal(changed).code).toBe('E_INTEGRITY');
  }
  expect(changes).toBeGreaterThan(300);
  expect(refusal({ ...receipt, more: true }).message).toContain('was changed after it was signed');
  const { blackout: _, ...less } = receipt;
  expect(refusal(less).message).toContain('was changed after it was signed');
});

test('a receipt that somebody else signed anew is not that of the host', () => {
  const host = receiptKey(scratchFolder());
  const forged = signReceipt({ ...CONTENT, keepSource: true }, receiptKey(scratchFolder()));
  expect(verifyReceipt(forged)).toEqual(forged);
  expect(refusal(forged, host.fingerprint).message).toContain('is signed with the key');
  const dressed: Receipt = { ...forged, signature: { ...forged.signature, fingerprint: host.fingerprint } };
  expect(refusal(dressed).message).toContain('is not that of its key');
});

test('what is no receipt is refused', () => {
  const receipt = signReceipt(CONTENT, receiptKey(scratchFolder()));
  const strange = [undefined, null, 1, 'text', [], {}, { ...receipt, schema: 2 }, { ...receipt, signature: null }];
  for (const one of strange) expect(refusal(one).code).toBe('E_INTEGRITY');
  expect(refusal({ ...receipt, signature: { ...receipt.signature, publicKey: '' } }).code).toBe('E_INTEGRITY');
});

test('a key that others may read is not used, and one that is damaged is named', () => {
  const state = scratchFolder();
  receiptKey(state);
  const path = join(state, 'receipt-key.pem');
  chmodSync(path, 0o644);
  expect(() => receiptKey(state)).toThrow(path);
  writeFileSync(path, 'no key');
  chmodSync(path, 0o600);
  expect(() => receiptKey(state)).toThrow(`${path} holds no Ed25519 key`);
});
