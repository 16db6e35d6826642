/** `blockferry policy`: the rules of the service, as the text that they are. */
import { text } from 'node:stream/consumers';
import { textOf, withService } from '../service-access.js';
import type { ServiceFlags } from '../service-flags.js';
import type { Session } from '../session.js';

export async function runPolicyShow({ out }: Session, flags: ServiceFlags): Promise<number> {
  const view = await withService(flags, (client) => client.policy());
  if (flags.json) out.json({ schema: 1, type: 'policy', ...view });
  // A file or a pipe gets the text as it is, so that it can be set again.
  else if (!out.stream.isTTY) out.painted(view.text.replace(/\n$/, ''));
  else for (const line of view.text.replace(/\n$/, '').split('\n')) out.line(line.replaceAll('\t', '    '));
  return 0;
}

export async function runPolicySet({ out }: Session, file: string, flags: ServiceFlags): Promise<number> {
  const toml = file === '-' ? await text(process.stdin) : textOf('policy set', file);
  const policy = await withService(flags, (client) => client.setPolicy(toml));
  if (flags.json) out.json({ schema: 1, type: 'policy', policy, text: toml });
  else out.line('the policy holds from now on');
  return 0;
}
