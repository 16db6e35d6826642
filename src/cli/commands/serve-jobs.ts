/** What `blockferry serve` offers beside its folders: the queue of jobs, over its socket and, if asked, over HTTP. */
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { peerBook } from '../../compose.js';
import { systemClock } from '../../core/clock.js';
import { givenIdentity, type Identity, ownIdentity } from '../../daemon/certificate.js';
import { type ControlHttp, startControl } from '../../daemon/control/server.js';
import { daemonFolder } from '../../daemon/daemon.js';
import { stateFolder } from '../../endpoint/state-folder.js';
import { openMachines, openMigrations, openService } from '../../index.js';
import type { MigrationService } from '../../migrate/migration-service.js';
import { readAddress } from '../option-values.js';
import type { ServeFlags } from '../serve-program.js';
import { SOCKET } from '../service-access.js';
import type { Session } from '../session.js';
import { packageVersion } from '../version.js';

const HTTP_PORT_DEFAULT = 7422;

export interface ServedJobs {
  readonly socketPath: string;
  readonly url?: string;
  /** Of the certificate that is shown at the URL, where that is one of HTTPS. */
  readonly pin?: string;
  close(): Promise<void>;
}

/** Jobs that were under way go on. @throws TransferError E_LOCKED: a service has them already */
export async function serveJobs(session: Session, flags: ServeFlags): Promise<ServedJobs> {
  const state = resolve(stateFolder());
  const page = fileURLToPath(new URL('../../daemon/dashboard', import.meta.url));
  const web = webOf(flags);
  const notes: string[] = [];
  let log = (sentence: string): void => void notes.push(sentence);
  const onNote = (sentence: string): void => {
    session.err.line(`note: ${sentence}`);
    log(sentence);
  };
  const service = await openService({ state, onNote });
  let migrations: MigrationService | undefined;
  const closeAll = async (): Promise<void> => {
    await migrations?.close();
    session.stuck ||= !(await service.close());
  };
  try {
    migrations = await openMigrations({ service, state, onNote });
    const [{ host }, { listPeers }] = await Promise.all([openMachines({ state }), peerBook()]);
    const machines = { list: () => host.list(), peers: () => listPeers().map(({ name }) => `peer://${name}`) };
    const control = await startControl({
      ...{
        service,
        migrations,
        machines,
        version: packageVersion(),
        socketPath: join(state, SOCKET),
        tokens: daemonFolder(),
      },
      log: join(state, 'log'),
      ...(web && { http: web.http }),
      ...(existsSync(join(page, 'index.html')) && { page }),
    });
    log = (sentence) => control.note(sentence);
    notes.forEach(log);
    return {
      socketPath: control.socketPath,
      ...(control.url !== undefined && { url: control.url }),
      ...(web?.identity && { pin: web.identity.fingerprint }),
      close: async () => {
        await control.close();
        await closeAll();
      },
    };
  } catch (thrown) {
    await closeAll();
    throw thrown;
  }
}

interface Web {
  readonly http: ControlHttp;
  readonly identity?: Identity;
}

/** Plain on this machine alone, where nobody stands in between; elsewhere with TLS, by the daemon's own certificate. */
function webOf({ http, httpName = [], cert, key }: ServeFlags): Web | undefined {
  if (http === undefined) return undefined;
  const { host, port } = readAddress('--http', http, HTTP_PORT_DEFAULT);
  const names = [hostname(), host, ...httpName];
  const given = cert !== undefined && key !== undefined ? givenIdentity(cert, key) : undefined;
  if (!given && /^(localhost|::1|127(\.\d+){3})$/i.test(host)) return { http: { host, port, names } };
  const identity = given ?? ownIdentity(daemonFolder(), systemClock.wallMs());
  return { http: { host, port, names, tls: identity }, identity };
}
