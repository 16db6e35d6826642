import { describe, expect, test } from 'vitest';
import { StatusError } from '../../../../src/endpoint/sftp/channel.js';
import { OpenFile, RemoteFile } from '../../../../src/endpoint/sftp/file.js';
import type { Handle, SftpSession } from '../../../../src/endpoint/sftp/session.js';

/** A session whose flushes end when the test says so. */
class Session {
  lost = false;
  opened = 0;
  closed = 0;
  readonly syncs: { done: () => void; fail: () => void }[] = [];

  get as(): SftpSession {
    return this as unknown as SftpSession;
  }

  open = async (): Promise<Handle> => Buffer.from([++this.opened]);

  closeHandle = async (): Promise<void> => {
    this.closed++;
  };

  fsync = (): Promise<void> =>
    new Promise((resolve, reject) => {
      this.syncs.push({ done: resolve, fail: () => reject(new StatusError(4, 'Failure')) });
    });
}

const settle = (): Promise<void> => new Promise(setImmediate);

describe('flushes of one file', () => {
  test('whoever comes while one is under way waits for the next, together with all others', async () => {
    const session = new Session();
    const file = new OpenFile(session.as, Buffer.from('h'));
    const ended: string[] = [];
    const sync = (name: string) => void file.sync().then(() => ended.push(name));
    sync('first');
    sync('second');
    sync('third');
    expect(session.syncs).toHaveLength(1);
    session.syncs[0]?.done();
    await settle();
    expect(ended).toEqual(['first']);
    expect(session.syncs).toHaveLength(2);
    session.syncs[1]?.done();
    await settle();
    expect(ended).toEqual(['first', 'second', 'third']);
    expect(session.syncs).toHaveLength(2);
  });

  test('after one that failed nothing written through the file counts, whatever the next one says', async () => {
    const session = new Session();
    const file = new OpenFile(session.as, Buffer.from('h'));
    const first = file.sync().catch((thrown: Error) => thrown);
    const second = file.sync();
    session.syncs[0]?.fail();
    expect(await first).toBeInstanceOf(StatusError);
    await settle();
    session.syncs[1]?.done();
    await second;
    expect(file.isVoid).toBe(true);
  });
});

describe('a file that is opened when it is needed', () => {
  const place = (session: Session) => ({
    ...{ path: '/disk', flags: 1, session: async () => session.as },
    check: async () => undefined,
  });

  test('is opened once, whoever asks for it at the same time, and again after its connection was lost', async () => {
    const sessions = [new Session(), new Session()] as const;
    const file = new RemoteFile({
      ...place(sessions[0]),
      session: async () => (sessions[0].lost ? sessions[1] : sessions[0]).as,
    });
    const [one, other] = await Promise.all([file.opened(), file.opened()]);
    expect(one).toBe(other);
    sessions[0].lost = true;
    const [again, too] = await Promise.all([file.opened(), file.opened()]);
    expect(again).not.toBe(one);
    expect(too).toBe(again);
    expect(sessions.map(({ opened }) => opened)).toEqual([1, 1]);
  });

  test('is closed where it turns out to be another one, and the next attempt opens it anew', async () => {
    const session = new Session();
    let good = false;
    const check = async (): Promise<void> => {
      if (!good) throw new Error('another one');
    };
    const file = new RemoteFile({ ...place(session), check });
    await expect(file.opened()).rejects.toThrow('another one');
    expect(session.closed).toBe(1);
    good = true;
    await file.opened();
    await file.close();
    expect({ opened: session.opened, closed: session.closed }).toEqual({ opened: 2, closed: 2 });
  });
});
