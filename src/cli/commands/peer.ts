/** `blockferry peer`: the hosts that this user knows, each with its token and its certificate. */
import { peerBook } from '../../compose.js';
import { TransferError } from '../../core/errors.js';
import { ask } from '../ask.js';
import type { OutputFlags } from '../option-values.js';
import type { PeerAddFlags } from '../serve-program.js';
import type { Session } from '../session.js';

export async function runPeerAdd(session: Session, where: string, flags: PeerAddFlags): Promise<number> {
  const book = await peerBook();
  const wanted = flags.pin === undefined ? undefined : book.readPin(flags.pin);
  const seen = await book.lookAtPeer(where);
  const shown = `sha256:${seen.fingerprint}`;
  if (wanted !== undefined && wanted !== seen.fingerprint) {
    throw new TransferError('E_AUTH', `peer://${seen.name} shows another certificate than the one of --pin: ${shown}`, {
      hint: 'Nothing was sent to it. Compare with what `blockferry serve` prints there.',
    });
  }
  if (wanted === undefined) await confirm(session, seen.name, shown);
  const token = (await ask(session, 'Its token: ', true)).trim();
  const roots = await book.addPeer(seen, token);
  if (flags.json) session.out.json({ schema: 1, type: 'peer', name: seen.name, pin: shown, roots });
  else {
    session.out.line(`peer://${seen.name} is known, with ${shown}`);
    for (const { name, rights } of roots) session.out.line(`peer://${seen.name}/${name}/  ${rights.join(' and ')}`);
  }
  return 0;
}

/** Who else could vouch for a certificate that nobody has signed? */
async function confirm(session: Session, name: string, shown: string): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new TransferError('E_USAGE', `peer://${name} shows the certificate ${shown}, which nobody has confirmed`, {
      hint: 'Compare it with what `blockferry serve` prints there, then give it as --pin.',
    });
  }
  session.err.line(`peer://${name} shows the certificate ${shown}`);
  const answer = await ask(session, 'Is that what `blockferry serve` prints there? (yes/no) ', false);
  if (/^y(es)?$/i.test(answer.trim())) return;
  throw new TransferError('E_STOPPED', 'not confirmed; nothing was changed');
}

export async function runPeerList(session: Session, flags: OutputFlags): Promise<number> {
  const peers = (await peerBook()).listPeers();
  if (flags.json) session.out.json({ schema: 1, type: 'peers', peers });
  else for (const { name, fingerprint } of peers) session.out.line(`peer://${name}  sha256:${fingerprint ?? '?'}`);
  if (peers.length === 0) session.err.line('no peer is known');
  return 0;
}

export async function runPeerRemove(session: Session, where: string): Promise<number> {
  const name = await (await peerBook()).removePeer(where);
  session.out.line(`peer://${name} is forgotten`);
  return 0;
}
