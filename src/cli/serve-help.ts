/** What the help of `serve` and `peer` says behind their options; 80 columns, and examples last. */

export const SERVE_HELP = `
The service keeps jobs in its state folder and goes on with them at each start;
"blockferry job" speaks to it over a socket there, which is for its user alone.
With --http others may, with a token that has the right "jobs" or "admin": plain
on this machine, and over TLS elsewhere.

With --root other hosts copy from peer://host/NAME/path and to it, over TLS,
where NAME is what the root is called: the last name of its folder, unless
NAME=FOLDER says otherwise. Nothing is served without a token, and nothing
outside the roots: paths with "..", links and devices are refused. The first
start makes a key and a certificate in the state folder, and each start prints
its fingerprint, which clients pin.

It runs until a signal ends it; what was under way goes on with the next start.

Examples:
  blockferry serve                             jobs for this user
  blockferry serve --http 127.0.0.1:7422       and a page for browsers
  blockferry serve --root /vms --listen :7421
  blockferry serve --root images=/srv/vm --listen 10.0.0.5:7421 --limit 400Mbit
  blockferry serve token add backup-host --rights read,write
`;

export const TOKEN_HELP = `
Only hashes are kept. A running "blockferry serve" of the same user follows each
change at once.

Examples:
  blockferry serve token add backup-host --rights read
  blockferry serve token list
  blockferry serve token remove backup-host
`;

export const TOKEN_ADD_HELP = `
"read" and "write" are about files in the roots. "vm", together with "write",
lets a host bring machines to here, and run them. "jobs" lets a client have jobs
of its own in the service, "admin" see and change all jobs and the policy.

Examples:
  blockferry serve token add mover --rights read,write --root images
  blockferry serve token add guest --rights read --days 7
  blockferry serve token add other-host --rights vm,write --root images
  blockferry serve token add laptop --rights jobs
`;

export const PEER_HELP = `
What is known lies in peers.json of the state folder, for this user alone.
For scripts BLOCKFERRY_PEER_TOKEN holds the token, and a location may say
?pin=sha256:HEX, or ?ca=FILE for a certificate authority of your own.

Examples:
  blockferry peer add peer://host:7421
  blockferry copy disk.vhdx peer://host/images/
  blockferry copy peer://host/images/disk.vhdx .
`;

export const PEER_ADD_HELP = `
Asks for the token, or reads it from the standard input, and shows the
fingerprint of the certificate: compare it with what "blockferry serve" has
printed there. Without a terminal --pin says which one it must be.

Examples:
  blockferry peer add peer://host:7421
  blockferry peer add peer://host --pin sha256:HEX < token-file
`;
