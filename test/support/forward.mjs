/**
 * Takes connections at an address and carries them to a Unix socket, which is the same in all network namespaces.
 * Prints the port that it took.
 *
 *   node forward.mjs ADDRESS SOCKET
 */
import { connect, createServer } from 'node:net';

const [address, socket] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: true }, (near) => {
  const far = connect({ path: socket, allowHalfOpen: true });
  for (const [from, to] of [
    [near, far],
    [far, near],
  ]) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroySoon());
    from.pipe(to);
  }
});
server.listen(0, address, () => process.stdout.write(`${server.address().port}\n`));
