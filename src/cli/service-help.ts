/** What the help of the service commands says behind their options; 80 columns, and examples last. */

export const SERVICE_HELP = `
"blockferry serve" is the service; systemd can start it with the machine, or
with a session of the user, and keep it in bounds.

Examples:
  blockferry service install --write /backup
  blockferry service status
  blockferry service uninstall
`;

export const SERVICE_INSTALL_HELP = `
The unit lets the service read what its user may read, and write nowhere but in
its state folder and in the folders of --write: give those that jobs copy to,
and that exist. It gets a /tmp of its own, no new privileges, no devices but
those of --device, and bounded memory. What --notify runs has the same bounds.

A service of a user ends with the last session of the user, unless lingering is
on (loginctl enable-linger). Where systemd does not run, the unit is written and
not started.

Examples:
  blockferry service install --dry-run --write /backup
  blockferry service install --system --write /backup --run-as libvirt-qemu
  blockferry service install --user --write ~/images --http 127.0.0.1:7422
`;

export const SERVICE_STATUS_HELP = `
Exit code 0: the service answers. Exit code 3: it does not.

Examples:
  blockferry service status
  blockferry service status --json
`;
