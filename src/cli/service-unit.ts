/**
 * The unit that systemd starts the service by: it may read what its user may read, write where it was told, and do
 * nothing else that a copy does not need (systemd.exec(5), "Sandboxing"; systemd.resource-control(5)).
 */

export interface UnitPlan {
  /** Of a user's own systemd, or of the machine's. */
  readonly kind: 'user' | 'system';
  /** Node and the script of the command, both absolute. */
  readonly command: readonly string[];
  readonly state: string;
  /** `state` is the one that systemd itself makes. */
  readonly stateMade: boolean;
  readonly http?: string;
  readonly write: readonly string[];
  readonly devices: readonly string[];
  readonly runAs?: string;
  readonly memoryBytes: number;
}

/** Reading, writing and giving away what belongs to others, as root does when it copies with --preserve. */
const CAPABILITIES = 'CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER';

/** What any systemd can hold a service to, a user's too. */
const SANDBOX = [
  'NoNewPrivileges=yes',
  'ProtectSystem=strict',
  'PrivateTmp=yes',
  'ProtectControlGroups=yes',
  'ProtectKernelTunables=yes',
  'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK',
  'RestrictNamespaces=yes',
  'RestrictRealtime=yes',
  'RestrictSUIDSGID=yes',
  'LockPersonality=yes',
  'SystemCallArchitectures=native',
  'SystemCallFilter=@system-service',
  // As if the kernel did not know it: then the plain way is taken.
  'SystemCallErrorNumber=ENOSYS',
];

/** These take rights away that a user's systemd cannot take; it would not start the service at all. */
const SYSTEM_SANDBOX = [
  'ProtectClock=yes',
  'ProtectHostname=yes',
  'ProtectKernelLogs=yes',
  'ProtectKernelModules=yes',
  'ProtectProc=invisible',
];

export function unitText(plan: UnitPlan): string {
  const { kind, command, state, http, memoryBytes } = plan;
  const serve = [...command, 'serve', '--state', state, ...(http === undefined ? [] : ['--http', http])];
  const network = ['Wants=network-online.target', 'After=network-online.target remote-fs.target'];
  return `${[
    '# Written by "blockferry service install", which writes it anew; changes go into a drop-in (systemctl edit).',
    '[Unit]',
    'Description=Blockferry, copies of huge files in the background',
    ...(kind === 'system' ? network : []),
    '',
    '[Service]',
    'Type=exec',
    `ExecStart=${serve.map(commandWord).join(' ')}`,
    'Restart=on-failure',
    'RestartSec=2s',
    'TimeoutStopSec=30s',
    ...userLines(plan),
    ...pathLines(plan),
    // Virtual machines that it has started go on when it ends, and are found again.
    'KillMode=process',
    `MemoryMax=${memoryBytes}`,
    'TasksMax=512',
    ...deviceLines(plan),
    ...SANDBOX,
    ...(kind === 'system' ? SYSTEM_SANDBOX : []),
    '',
    '[Install]',
    `WantedBy=${kind === 'system' ? 'multi-user.target' : 'default.target'}`,
  ].join('\n')}\n`;
}

function userLines({ kind, runAs }: UnitPlan): string[] {
  if (kind === 'user') return [];
  const root = runAs === undefined || runAs === 'root';
  return root ? [`CapabilityBoundingSet=${CAPABILITIES}`] : [`User=${settingWord(runAs)}`, 'CapabilityBoundingSet='];
}

function pathLines({ kind, state, stateMade, write }: UnitPlan): string[] {
  const made = kind === 'system' && stateMade;
  const paths = [...(made ? [] : [state]), ...write];
  return [
    ...(made ? ['StateDirectory=blockferry', 'StateDirectoryMode=0700'] : []),
    ...(paths.length > 0 ? [`ReadWritePaths=${paths.map(settingWord).join(' ')}`] : []),
  ];
}

/** A user's systemd knows no other devices than its user may open anyway. */
function deviceLines({ kind, devices }: UnitPlan): string[] {
  if (kind === 'user') return [];
  if (devices.length === 0) return ['PrivateDevices=yes', 'DevicePolicy=closed'];
  return ['DevicePolicy=closed', ...devices.map((device) => `DeviceAllow=${settingWord(device)} rw`)];
}

/** A word of a command line, where "$" begins a variable too (systemd.service(5), "Command lines"). */
function commandWord(word: string): string {
  return settingWord(word).replaceAll('$', '$$$$');
}

/** A word as units have it: quoted where needed, and "%" begins a specifier (systemd.syntax(7), systemd.unit(5)). */
function settingWord(word: string): string {
  const plain = word.replaceAll('%', '%%');
  return /^[\w@%+:,./-]+$/.test(plain) ? plain : `"${plain.replace(/[\\"]/g, '\\$&')}"`;
}
