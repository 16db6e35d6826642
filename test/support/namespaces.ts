/**
 * Two hosts on one machine: two network namespaces and a cable between them, whose rate, losses and ends a test rules.
 * Servers are to be had in one, clients run in the other. What a machine allows is probed, never guessed from the uid.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TestContext } from 'vitest';

const FORWARD = fileURLToPath(new URL('./forward.mjs', import.meta.url));
const TABLE = ['inet', 'blockferry'] as const;
let probed: string | undefined;

/** Why there can be no such hosts here; '': there can. It is tried, once. */
export function whyNoNamespaces(): string {
  if (probed !== undefined) return probed;
  probed = '';
  const name = `bf-probe-${randomBytes(3).toString('hex')}`;
  try {
    run('ip', 'netns', 'add', name);
    run(...words(`ip -n ${name} link add probe0 type veth peer name probe1`));
    run(...words(`tc -n ${name} qdisc add dev probe0 root tbf rate 1mbit burst 16kb limit 1mb`));
    const chain = 'chain c { type filter hook input priority 0; numgen random mod 2 < 1 drop; };';
    run('ip', 'netns', 'exec', name, 'nft', `table ${TABLE.join(' ')} { ${chain} }`);
  } catch (thrown) {
    probed = `network namespaces with veth, tbf and nftables cannot be had here: ${reasonOf(thrown)}`;
  } finally {
    attempt('ip', 'netns', 'del', name);
  }
  return probed;
}

/** Two hosts until the test ends; skips the test where they cannot be had. */
export function twoHosts(context: TestContext): TwoHosts {
  const reason = whyNoNamespaces();
  context.skip(reason !== '', reason);
  const hosts = new TwoHosts();
  context.onTestFinished(() => hosts.remove());
  return hosts;
}

export class TwoHosts {
  readonly serverAddress = '10.77.0.1';
  /** Puts a command in front of another one, which then runs on that host. */
  readonly server: readonly string[];
  readonly client: readonly string[];
  readonly #names: readonly [server: string, client: string];
  readonly #folder = mkdtempSync(join(tmpdir(), 'hosts-'));
  readonly #published: { readonly server: Server; readonly child: ChildProcess }[] = [];

  constructor() {
    const tag = randomBytes(3).toString('hex');
    const [server, client] = [`bf-server-${tag}`, `bf-client-${tag}`];
    this.#names = [server, client];
    this.server = ['ip', 'netns', 'exec', server];
    this.client = ['ip', 'netns', 'exec', client];
    for (const name of this.#names) run('ip', 'netns', 'add', name);
    run(...words(`ip -n ${server} link add cable type veth peer name cable netns ${client}`));
    for (const [n, name] of this.#names.entries()) {
      run(...words(`ip -n ${name} addr add 10.77.0.${n + 1}/24 dev cable`));
      for (const link of ['cable', 'lo']) run('ip', '-n', name, 'link', 'set', link, 'up');
    }
  }

  /** Makes what listens at a port of our own 127.0.0.1 listen on the server host; answers its port there. */
  async publish(port: number): Promise<number> {
    const path = join(this.#folder, String(port));
    const server = createServer({ allowHalfOpen: true }, (near) => {
      const far = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      carry(near, far);
      carry(far, near);
    }).listen(path);
    await once(server, 'listening');
    const [command = '', ...args] = [...this.server, process.execPath, FORWARD, this.serverAddress, path];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#published.push({ server, child });
    const [said] = await once(child.stdout, 'data');
    return Number(String(said));
  }

  /** Pulls the cable out, and puts it in again: connections stay, and nothing comes through. */
  linkDown(): void {
    run('ip', '-n', this.#names[0], 'link', 'set', 'cable', 'down');
  }

  linkUp(): void {
    run('ip', '-n', this.#names[0], 'link', 'set', 'cable', 'up');
  }

  /** What the cable carries, each way. */
  limitRate(megabitsPerSecond: number): void {
    const rate = words(`tbf rate ${megabitsPerSecond}mbit burst 128kb latency 50ms`);
    for (const name of this.#names) run('tc', '-n', name, 'qdisc', 'replace', 'dev', 'cable', 'root', ...rate);
  }

  /** How many of a hundred packets are lost on their way to the client; 0: none. */
  losePackets(percent: number): void {
    this.#filter(percent > 0 ? `numgen random mod 1000 < ${percent * 10} drop` : undefined);
  }

  /** How many of a hundred packets from the client are answered with a reset of their connection; 0: none. */
  resetConnections(percent: number): void {
    const some = `numgen random mod 10000 < ${percent * 100} reject with tcp reset`;
    this.#filter(percent > 0 ? `meta l4proto tcp ${some}` : undefined);
  }

  /** Ends what still runs there, and takes both hosts away; harmless when called twice. */
  async remove(): Promise<void> {
    for (const { server, child } of this.#published.splice(0)) {
      child.kill('SIGKILL');
      server.close();
    }
    for (const name of this.#names) {
      attempt('sh', '-c', `ip netns pids ${name} | xargs -r kill -9`);
      attempt('ip', 'netns', 'del', name);
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** One rule for what comes to the client. */
  #filter(rule: string | undefined): void {
    const nft = [...this.client.slice(1), 'nft'];
    attempt('ip', ...nft, 'delete', 'table', ...TABLE);
    if (rule === undefined) return;
    const chain = `chain input { type filter hook input priority 0; policy accept; iifname "cable" ${rule}; };`;
    run('ip', ...nft, `table ${TABLE.join(' ')} { ${chain} }`);
  }
}

function carry(from: Socket, to: Socket): void {
  from.on('error', () => to.destroy());
  from.on('close', () => to.destroySoon());
  from.pipe(to);
}

function words(text: string): [command: string, ...args: string[]] {
  return text.split(' ') as [string, ...string[]];
}

function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** For what may be there or not. */
function attempt(command: string, ...args: readonly string[]): void {
  try {
    run(command, ...args);
  } catch {
    // Absent is as good as gone.
  }
}

function reasonOf(thrown: unknown): string {
  const { stderr, message } = thrown as { readonly stderr?: Buffer; readonly message: string };
  return stderr?.toString().trim().split('\n').at(-1) || message;
}
