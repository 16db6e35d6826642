/** The page for those who come from BITS leaves out nothing that there is, and names nothing that there is not here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { type Commands, createProgram } from '../../src/cli/program.js';
import { commandsOf, fullName } from '../support/man-page.mjs';
import { projectRoot } from './source-files.js';

const page = readFileSync(join(projectRoot, 'docs/from-bits.md'), 'utf8');
const rows = page.split('\n').filter((line) => line.startsWith('| '));
const left = rows.map((line) => line.split(' | ')[0] ?? '').join('\n');

/** learn.microsoft.com/windows-server/administration/windows-commands/bitsadmin */
const VERBS = `addfile addfileset addfilewithranges cache cancel complete create examples getaclflags getbytestotal
getbytestransferred getclientcertificate getcompletiontime getcreationtime getcustomheaders getdescription
getdisplayname geterror geterrorcount getfilestotal getfilestransferred gethelpertokenflags gethelpertokensid
gethttpmethod getmaxdownloadtime getminretrydelay getmodificationtime getnoprogresstimeout getnotifycmdline
getnotifyflags getnotifyinterface getowner getpeercachingflags getpriority getproxybypasslist getproxylist getproxyusage
getreplydata getreplyfilename getreplyprogress getsecurityflags getstate gettemporaryname gettype getvalidationstate
help info list listfiles makecustomheaderswriteonly monitor nowrap peercaching peers rawreturn removeclientcertificate
removecredentials replaceremoteprefix reset resume setaclflag setclientcertificatebyid setclientcertificatebyname
setcredentials setcustomheaders setdescription setdisplayname sethelpertoken sethelpertokenflags sethttpmethod
setmaxdownloadtime setminretrydelay setnoprogresstimeout setnotifycmdline setnotifyflags setpeercachingflags setpriority
setproxysettings setreplyfilename setsecurityflags setvalidationstate suspend takeownership transfer util wrap`;

/** learn.microsoft.com/powershell/module/bitstransfer/start-bitstransfer */
const OPTIONS = `Asynchronous Dynamic CustomHeadersWriteOnly Authentication Credential Description HttpMethod
Destination DisplayName Priority TransferPolicy ACLFlags SecurityFlags UseStoredCredential
ProxyAuthentication ProxyBypass ProxyCredential ProxyList ProxyUsage RetryInterval RetryTimeout
MaxDownloadTime Source Suspended TransferType CustomHeaders NotifyFlags NotifyCmdLine
CertStoreLocation CertStoreName CertHash WhatIf Confirm`;

test('every verb of bitsadmin and every option of Start-BitsTransfer is in the table', () => {
  expect(VERBS.split(/\s/).filter((verb) => !new RegExp(`\`/${verb}\\b`).test(left))).toEqual([]);
  expect(OPTIONS.split(/\s/).filter((option) => !left.includes(`\`-${option}\``))).toEqual([]);
});

test('the commands and options that it names exist', () => {
  const commands: readonly Command[] = commandsOf(createProgram({} as Commands));
  const known = new Map(commands.map((command) => [fullName(command).replace(/^\S+ /, ''), command]));
  const named = [
    ...page.matchAll(/`(?:blockferry )?((?:job|peer|service|policy) [a-z-]+|copy|verify|serve)( [^`]*)?`/g),
  ];
  expect(named.length).toBeGreaterThan(40);
  for (const [, name = '', rest = ''] of named) {
    const command = known.get(name);
    expect(command, name).toBeDefined();
    const options = (command?.options ?? []).map(({ long }) => long);
    for (const [option] of rest.matchAll(/--[a-z-]+/g)) expect(options, name).toContain(option);
  }
});
