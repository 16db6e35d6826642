/**
 * The Debian packages that some tests need: what shows that each is there, and how a missing one is installed.
 * An install never starts a service, and a failed one costs nothing but the tests that needed it.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** One row for each package: the command, or file, that shows that it is there, and the tests that need it. */
export const debianPackages = [
  { name: 'util-linux', command: 'unshare', neededBy: 'every test that mounts (private mount namespace)' },
  { name: 'mount', command: 'losetup', neededBy: 'copies on loop-mounted file systems, and to block devices' },
  { name: 'e2fsprogs', command: 'mkfs.ext4', neededBy: 'copies on ext4' },
  { name: 'xfsprogs', command: 'mkfs.xfs', neededBy: 'copies on xfs' },
  { name: 'btrfs-progs', command: 'mkfs.btrfs', neededBy: 'copies on btrfs' },
  { name: 'exfatprogs', command: 'mkfs.exfat', neededBy: 'copies where the case of letters does not count (exFAT)' },
  { name: 'exfat-fuse', command: 'mount.exfat-fuse', neededBy: 'copies where the case of letters does not count' },
  { name: 'qemu-utils', command: 'qemu-img', neededBy: 'disk images, compared with qemu-img' },
  { name: '7zip', command: '7zz', neededBy: 'disk images, compared with 7-Zip' },
  { name: 'libvhdi-utils', command: 'vhdiinfo', neededBy: 'VHD and VHDX images, as libvhdi understands them' },
  { name: 'strace', command: 'strace', neededBy: 'what the system is asked for, and may refuse, by background copies' },
  { name: 'zstd', command: 'zstd', neededBy: 'compressed clusters, compared with zstd' },
  {
    name: 'qemu-system-common',
    command: 'qemu-storage-daemon',
    neededBy: 'unreadable sectors (FUSE with injected EIO)',
  },
  { name: 'qemu-system-x86', command: 'qemu-system-x86_64', neededBy: 'disk images that a guest writes to' },
  { name: 'gcc', command: 'gcc', neededBy: 'migrations of a machine whose guest notices every lost write' },
  {
    name: 'libc6-dev',
    command: '/usr/lib/x86_64-linux-gnu/libc.a',
    neededBy: 'migrations of a machine whose guest notices every lost write',
  },
  { name: 'fuse3', command: 'fusermount3', neededBy: 'unreadable sectors (FUSE with injected EIO)' },
  { name: 'bindfs', command: 'bindfs', neededBy: 'copies on a mount that maps owners' },
  { name: 'nginx-light', command: 'nginx', neededBy: 'the HTTP source against a real nginx' },
  { name: 'samba', command: 'smbd', neededBy: 'copies to and from a mounted share' },
  { name: 'iproute2', command: 'ip', neededBy: 'copies between two hosts (network namespaces)' },
  { name: 'nftables', command: 'nft', neededBy: 'copies over a cable that loses packets' },
  { name: 'apache2', command: 'apache2', neededBy: 'WebDAV against a real Apache' },
  { name: 'apache2-utils', command: 'htpasswd', neededBy: 'WebDAV with a password' },
  {
    name: 'lighttpd-mod-webdav',
    command: '/usr/lib/lighttpd/mod_webdav.so',
    neededBy: 'WebDAV against a real lighttpd',
  },
  { name: 'rclone', command: 'rclone', neededBy: 'WebDAV that takes only whole files, and a mounted share' },
  { name: 'ceph-mon', command: 'ceph-mon', neededBy: 'S3 against a real Ceph Object Gateway' },
  { name: 'ceph-osd', command: 'ceph-osd', neededBy: 'S3 against a real Ceph Object Gateway' },
  { name: 'radosgw', command: 'radosgw', neededBy: 'S3 against a real Ceph Object Gateway' },
  { name: 'openssh-server', command: 'sshd', neededBy: 'SFTP against a real OpenSSH' },
  { name: 'openssh-client', command: 'ssh-agent', neededBy: 'SFTP with keys and agents' },
  { name: 'chromium', command: 'chromium', neededBy: 'the page of the service, in a browser' },
  { name: 'bsdutils', command: 'script', neededBy: 'questions on a terminal' },
  { name: 'tmux', command: 'tmux', neededBy: 'what the terminal shows' },
  { name: 'bash', command: 'bash', neededBy: 'completion in bash' },
  { name: 'zsh', command: 'zsh', neededBy: 'completion in zsh' },
  { name: 'fish', command: 'fish', neededBy: 'completion in fish' },
  { name: 'man-db', command: 'man', neededBy: 'the man page, read by man' },
  { name: 'groff', command: 'groff', neededBy: 'the man page, checked for warnings' },
  { name: 'openssl', command: 'openssl', neededBy: 'https, with a certificate made for the test' },
];

/** System tools live in folders that a user's PATH may lack. */
export const searchPath = [process.env.PATH ?? '', '/usr/sbin', '/sbin'].join(delimiter);

const policyFile = '/usr/sbin/policy-rc.d';
const policyText =
  '#!/bin/sh\n# Written by the tests of blockferry while they install packages: start no services.\nexit 101\n';

/** The packages of the list whose command is not there. */
export function missingPackages() {
  return debianPackages.filter((entry) => !hasCommand(entry.command));
}

/** Installs what is missing where that is possible. Returns what is missing afterwards, and why. */
export function installMissingPackages(say) {
  const missing = missingPackages();
  if (missing.length === 0) return { missing, reason: '' };
  const obstacle = whyNotInstall();
  if (obstacle !== '') return { missing, reason: obstacle };

  say(`Installing the Debian packages that tests need: ${missing.map((entry) => entry.name).join(' ')}`);
  say('(no service is started; BLOCKFERRY_NO_APT=1 turns this off)');
  const failure = withoutServices(() => {
    const updated = apt(['update'], 120_000);
    if (updated !== '') return `apt-get update failed: ${updated}`;
    const names = missing.map((entry) => entry.name);
    if (aptInstall(names) === '') return '';
    // One package that cannot be had must not take the others with it.
    const failures = names.map((name) => [name, aptInstall([name])]).filter(([, error]) => error !== '');
    return failures.map(([name, error]) => `apt-get install ${name} failed: ${error}`).join('; ');
  });
  const still = missingPackages();
  return { missing: still, reason: failure || (still.length > 0 ? 'the package did not bring the command' : '') };
}

function hasCommand(command) {
  if (command.startsWith('/')) return existsSync(command);
  return searchPath.split(delimiter).some((folder) => {
    if (folder === '') return false;
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false; // Not in this folder: that is the answer, not a fault.
    }
  });
}

function whyNotInstall() {
  if (process.env.BLOCKFERRY_NO_APT === '1') return 'BLOCKFERRY_NO_APT=1 is set';
  if (!existsSync('/etc/debian_version') || !hasCommand('apt-get')) return 'this is not Debian';
  if (process.getuid?.() !== 0) return 'only root can install them';
  return '';
}

function aptInstall(names) {
  return apt(
    ['install', '--yes', '--no-install-recommends', '-o', 'Dpkg::Options::=--force-confold', ...names],
    600_000,
  );
}

/** Runs apt-get and returns the reason of its failure, or ''. */
function apt(args, timeout) {
  const limits = ['-o', 'DPkg::Lock::Timeout=120', '-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=20'];
  const done = spawnSync('apt-get', ['-qq', '-o', 'APT::Update::Error-Mode=any', ...limits, ...args], {
    env: { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['ignore', 'pipe', 'pipe'],
    encoding: 'utf8',
    timeout,
  });
  if (done.status === 0) return '';
  const lastLine = (done.stderr ?? '').trim().split('\n').at(-1);
  return done.error?.message ?? (lastLine || `apt-get ended with ${done.signal ?? done.status}`);
}

/** A policy that is already there is the administrator's and stays; ours goes, also one that a killed run left. */
function withoutServices(install) {
  const ignore = () => undefined;
  // With a listener Ctrl-C ends apt-get but not this process, so that the policy is always removed.
  process.on('SIGINT', ignore);
  const ours = !existsSync(policyFile) || readFileSync(policyFile, 'utf8') === policyText;
  try {
    if (ours) {
      writeFileSync(policyFile, policyText);
      chmodSync(policyFile, 0o755);
    }
    return install();
  } catch (error) {
    return `${policyFile} could not be written: ${error.message}`;
  } finally {
    if (ours) rmSync(policyFile, { force: true });
    process.off('SIGINT', ignore);
  }
}
