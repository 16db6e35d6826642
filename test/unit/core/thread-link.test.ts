import { MessageChannel } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.js';
import { ThreadLink } from '../../../src/core/thread-link.js';

interface Deeds {
  readonly [deed: string]: (request: never) => unknown;
  readonly double: (request: number) => number;
  readonly refuse: (nothing: undefined) => void;
  readonly hang: (nothing: undefined) => Promise<void>;
}

function linked(): ThreadLink<Deeds> {
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const deeds: Deeds = {
    double: (request) => request * 2,
    refuse: () => {
      throw new TransferError('E_NO_SPACE', 'the disk is full', { hint: 'Free some space.' });
    },
    hang: () => new Promise(() => undefined),
  };
  new ThreadLink(port2, deeds);
  return new ThreadLink<Deeds>(port1, {});
}

test('a thread does what another asks, and its errors come back as what they are', async () => {
  const link = linked();
  expect(await Promise.all([1, 2, 3].map((n) => link.ask('double', n)))).toEqual([2, 4, 6]);
  const refused = await link.ask('refuse', undefined).catch((thrown) => thrown);
  expect(refused).toBeInstanceOf(TransferError);
  expect(refused).toMatchObject({ code: 'E_NO_SPACE', message: 'the disk is full', hint: 'Free some space.' });
});

test('whoever waits for a thread that has ended is told, and whoever asks it later', async () => {
  const link = linked();
  const waiting = link.ask('hang', undefined);
  link.end(new TransferError('E_BUG', 'it has ended'));
  link.end(new TransferError('E_BUG', 'and ended again'));
  await expect(waiting).rejects.toThrow('it has ended');
  await expect(link.ask('double', 1)).rejects.toThrow('it has ended');
});
