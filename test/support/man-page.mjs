/**
 * Writes man/blockferry.1 from the definitions of the command line and their help texts, so that there is one place to
 * change. What no option tells (files, environment) stands here.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const manPath = fileURLToPath(new URL('../../man/blockferry.1', import.meta.url));

const ABOUT = `Blockferry copies huge files and disk images between storage paths. A target appears under its name whole
and proven, or not at all. After any stop, a power cut included, the same command goes on where the last one was, and
proves again what that one had copied. On a terminal a bar and a map of the chunks show how far a copy is; in a pipe a
line every few seconds does.`;

const LOCATIONS = `A location is a path, or a URL: http(s), s3://bucket/key, sftp://user@host/path,
webdav(s)://host/path, or peer://host/NAME/path for what the Blockferry of another host serves. A target that is
a folder gets the file under its own name.
Sizes and rates take units: KiB, MiB and GiB are powers of 1024 (as are K, M and G), KB, MB and GB of 1000, and Mbit
counts bits.`;

const MAP = `Below the bar each character stands for one or many chunks of the file:`;
const MAP_SIGNS = [
  ['.', 'to do'],
  ['>', 'being copied or proven'],
  ['+', 'written, but not on record: a crash would have it copied again'],
  ['#', 'on record: flushed and in the journal'],
  ['=', 'proven: read again at the target, and the same'],
  ['o', 'zero: a hole, or zeroes'],
  ['!', 're-sent: on record after an error or a mismatch'],
];

const ENVIRONMENT = [
  ['NO_COLOR', 'When set to anything, the terminal gets no colours.'],
  [
    'BLOCKFERRY_STATE',
    'Folder of the service, and of other journals. Default: blockferry in XDG_STATE_HOME or ~/.local/state.',
  ],
  ['BLOCKFERRY_SERVICE', 'The address of the service, as for --service.'],
  ['BLOCKFERRY_TOKEN', 'The token for a service at an address, where no --token-file is given.'],
  ['BLOCKFERRY_PEER_TOKEN', 'The token for peers; it stands before what "blockferry peer add" has kept.'],
  ['BLOCKFERRY_DEBUG', 'When 1, errors come with their code, their cause and where they were thrown.'],
];

const FILES = [
  ['.NAME.blockferry-part', 'The partial data of an unfinished copy, beside its target.'],
  ['.NAME.blockferry-journal', 'Which chunks of it are on record. It takes both to go on.'],
  ['.NAME.blockferry-merge', 'What a merge of that image remembers until it is finished. Leave it where it is.'],
  ['BLOCKFERRY_STATE/peers.json', 'The hosts that "blockferry peer add" has kept, with their tokens.'],
  ['BLOCKFERRY_STATE/control.sock', 'Where "blockferry serve" takes the calls of its user.'],
  ['BLOCKFERRY_STATE/jobs.sqlite', 'The jobs of the service.'],
  ['BLOCKFERRY_STATE/blockferry.toml', 'Its policy.'],
  ['BLOCKFERRY_STATE/serve', 'What "blockferry serve" keeps: hashes of tokens, its key and its certificate.'],
  [
    'BLOCKFERRY_STATE/trees',
    'One journal for each target folder of a tree copy: what is finished. It stays, so that the next run skips that.',
  ],
];

/** The whole page, as man(7) has it. `program` is the command line that `createProgram` makes. */
export function manPage(program) {
  const help = program.createHelp();
  const { examples, paragraphs } = afterHelp(program);
  const commands = commandsOf(program);
  return [
    '.\\" Made by "npm run man". Change the help texts instead.',
    `.TH ${program.name().toUpperCase()} 1 "" "${program.name()} ${program.version()}" "User Commands"`,
    '.SH NAME',
    `${program.name()} \\- resumable copies of huge files, proven`,
    '.SH SYNOPSIS',
    ...commands
      .filter((command) => command.commands.length === 0 || command.options.length > 0)
      .flatMap((command, at) => [
        ...(at > 0 ? ['.br'] : []),
        `\\fB${fullName(command)}\\fR ${dashes(command.usage())}`.trimEnd(),
      ]),
    '.SH DESCRIPTION',
    ...paragraph(ABOUT),
    ...paragraph(LOCATIONS),
    '.SH COMMANDS',
    ...commands.flatMap((command) => commandText(command, help)),
    '.SH THE MAP',
    ...paragraph(MAP),
    ...MAP_SIGNS.flatMap(([sign, meaning]) => tagged(`\\fB${escaped(sign)}\\fR`, meaning)),
    '.SH EXIT STATUS',
    ...paragraphs.flatMap((text) => paragraph(text.replace(/^Exit codes: /, ''))),
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(([name, text]) => tagged(`\\fB${name}\\fR`, text)),
    '.SH FILES',
    ...FILES.flatMap(([name, text]) => tagged(`\\fI${dashes(name)}\\fR`, text)),
    '.SH EXAMPLES',
    ...exampleText(examples),
    '.SH SEE ALSO',
    '.BR cp (1),',
    '.BR cmp (1),',
    '.BR rsync (1)',
    '',
  ].join('\n');
}

/** Each command, and behind a group the commands that it groups. */
export function commandsOf(parent) {
  const own = parent.commands.filter((command) => command.name() !== 'help');
  return own.flatMap((command) => [command, ...commandsOf(command)]);
}

/** `blockferry disk info`. */
export function fullName(command) {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}

function commandText(command, help) {
  const { examples, paragraphs } = afterHelp(command);
  const groups = grouped(help.visibleOptions(command).filter((option) => option.long !== '--help'));
  return [
    `.SS ${dashes(fullName(command).replace(/^\S+ /, ''))}`,
    ...paragraph(`${sentence(help.commandDescription(command))}.`),
    ...help
      .visibleArguments(command)
      .flatMap((argument) => tagged(`\\fI${argument.name()}\\fR`, `${sentence(argument.description)}.`)),
    ...[...groups].flatMap(([heading, options]) => [
      ...(groups.size > 1 ? ['.PP', `\\fI${escaped(heading.replace(/:$/, ''))}\\fR`] : []),
      ...options.flatMap((option) =>
        tagged(`\\fB${dashes(option.flags)}\\fR`, `${sentence(help.optionDescription(option))}.`),
      ),
    ]),
    ...paragraphs.flatMap(paragraph),
    ...(examples.length > 0 ? ['.PP', 'Examples:', ...exampleText(examples)] : []),
  ];
}

function headingOf(option) {
  return option.helpGroupHeading ?? 'Options:';
}

function grouped(options) {
  const groups = new Map();
  for (const option of options) groups.set(headingOf(option), [...(groups.get(headingOf(option)) ?? []), option]);
  return groups;
}

/** The text behind the options: the lines of its examples, and its other paragraphs. */
function afterHelp(command) {
  let shown = '';
  command.configureOutput({ ...command.configureOutput(), writeOut: (text) => (shown += text) });
  command.outputHelp();
  const blocks = shown.slice(command.helpInformation().length).trim().split(/\n\n+/).filter(Boolean);
  const isExamples = (block) => /^Examples?:\n/.test(block);
  return {
    examples: blocks.filter(isExamples).flatMap((block) => block.split('\n').slice(1)),
    paragraphs: blocks.filter((block) => !isExamples(block)),
  };
}

const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
/** A line that begins with a dot or a quote would be a request. */
const escaped = (text) => text.replaceAll('\\', '\\e').replace(/^(?=[.'])/gm, '\\&');
/** A dash that can be copied, and not a hyphen. */
const dashes = (text) => escaped(text).replaceAll('-', '\\-');

function paragraph(text) {
  return ['.PP', escaped(text.replace(/\s*\n\s*/g, '\n')).replace(/(?<=^|[\s("])--?(?=\w)/gm, (dash) => dashes(dash))];
}

function tagged(tag, text) {
  return ['.TP', tag, ...paragraph(text).slice(1)];
}

function exampleText(lines) {
  return [
    '.PP',
    '.RS 4',
    '.nf',
    ...lines.map((line) => dashes(line.replace(/^ {2}/, '')).replaceAll("'", '\\(aq')),
    '.fi',
    '.RE',
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { createProgram } = await import('../../dist/src/cli/program.js');
  mkdirSync(new URL('../../man', import.meta.url), { recursive: true });
  writeFileSync(manPath, manPage(createProgram({})));
  console.log('man/blockferry.1 is written');
}
