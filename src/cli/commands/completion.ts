/**
 * `blockferry completion`: what a shell has to know to complete the command, made from the same definitions that parse
 * it, so that there is no second list of options. A file is completed where a value or argument can be one.
 */
import type { Argument, Command, Option } from 'commander';
import type { Shell } from '../program.js';
import type { Session } from '../session.js';

export async function runCompletion({ out }: Session, program: Command, shell: Shell): Promise<number> {
  out.stream.write(completionScript(program, shell));
  return 0;
}

export function completionScript(program: Command, shell: Shell): string {
  const help = program.createHelp();
  const commands = help.visibleCommands(program).map((command) => describeCommand(command, program));
  return WRITERS[shell]({ name: program.name(), commands, options: help.visibleOptions(program).map(describeOption) });
}

function describeCommand(command: Command, parent: Command): CommandWords {
  const help = parent.createHelp();
  const isHelp = command.name() === 'help';
  const subcommands = isHelp ? [] : help.visibleCommands(command).map((one) => describeCommand(one, command));
  // The argument of the built-in help is the name of a command.
  const words = isHelp ? parent.commands.map((one) => one.name()) : wordsOf(command.registeredArguments);
  return {
    name: command.name(),
    about: command.description(),
    options: help.visibleOptions(command).map(describeOption),
    words: subcommands.length > 0 ? subcommands.map(({ name }) => name) : words,
    subcommands,
  };
}

/** What may follow: one of these words, a file, or something that nobody can guess. */
type Value = readonly string[] | 'file' | 'any';

interface OptionWords {
  /** As typed, with their dashes. */
  readonly names: readonly string[];
  readonly about: string;
  /** Absent: the option stands alone. */
  readonly value?: Value;
  readonly repeats: boolean;
}

interface CommandWords {
  readonly name: string;
  readonly about: string;
  readonly options: readonly OptionWords[];
  readonly words: Value;
  readonly subcommands: readonly CommandWords[];
}

interface ProgramWords {
  readonly name: string;
  readonly commands: readonly CommandWords[];
  readonly options: readonly OptionWords[];
}

function describeOption(option: Option): OptionWords {
  const names = [option.short, option.long].filter((name) => name !== undefined);
  const about = { names, about: option.description, repeats: /may be repeated/.test(option.description) };
  if (!option.required && !option.optional) return about;
  return { ...about, value: option.argChoices ?? (/<(file|folder)>/.test(option.flags) ? 'file' : 'any') };
}

/** Arguments that are no places. */
const NO_FILES: readonly string[] = ['job', 'jobs', 'name', 'peer'];

function wordsOf(args: readonly Argument[]): Value {
  return args[0]?.argChoices ?? (args.some((argument) => !NO_FILES.includes(argument.name())) ? 'file' : 'any');
}

const WRITERS: Readonly<Record<Shell, (program: ProgramWords) => string>> = { bash, zsh, fish };

function bash({ name, commands, options }: ProgramWords): string {
  const spelled = (list: readonly OptionWords[]): string => list.flatMap(({ names }) => names).join(' ');
  const reply = (words: string): string => `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`;
  // With nothing to reply, bash completes a file; where that makes no sense it must not.
  const values = (value: Value): string =>
    value === 'file' ? ':' : value === 'any' ? 'compopt +o default 2>/dev/null' : reply(value.join(' '));
  const all = commands.flatMap((command) => [
    command,
    ...command.subcommands.map((one) => ({ ...one, name: `'${command.name} ${one.name}'` })),
  ]);
  const cases = all.map(({ name: command, options: own, words }) => {
    const valued = own.flatMap((option) =>
      option.value === undefined ? [] : [`        ${option.names.join('|')}) ${values(option.value)}; return ;;`],
    );
    const after = valued.length === 0 ? [] : ['      case "$prev" in', ...valued, '      esac'];
    const dashes = `      if [[ $cur == -* && -z $end ]]; then ${reply(spelled(own))}; else ${values(words)}; fi`;
    return [`    ${command})`, ...after, dashes, '      ;;'].join('\n');
  });
  const names = commands.map((command) => command.name);
  const known = all.map((command) => command.name).join('|');
  return `# bash completion of ${name}; for ~/.bashrc: eval "$(${name} completion bash)"
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= end= at
  # "--option=value" comes as three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "\${command:+$command }\${COMP_WORDS[at]}" in
      ${known}) command="\${command:+$command }\${COMP_WORDS[at]}" ;;
      *--) [[ \${COMP_WORDS[at]} != -- ]] || { end=1; prev=; } ;;
    esac
  done
  case "$command" in
${cases.join('\n')}
    *)
      compopt +o default 2>/dev/null
      ${reply(`${names.join(' ')} ${spelled(options)}`)}
      ;;
  esac
}
complete -o default -F _${name} ${name}
`;
}

function zsh({ name, commands, options }: ProgramWords): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  const plain = (text: string): string => text.replace(/[[\]:\\]/g, '\\$&');
  const action = (value: Value): string =>
    value === 'file' ? '_files' : value === 'any' ? ' ' : `(${value.join(' ')})`;
  const specs = (option: OptionWords): string[] => {
    const value = option.value === undefined ? '' : `:value:${action(option.value)}`;
    const others = option.repeats ? '*' : `(${option.names.join(' ')})`;
    const sign = (spelled: string): string => (value !== '' && spelled.startsWith('--') ? `${spelled}=` : spelled);
    return option.names.map((spelled) => quoted(`${others}${sign(spelled)}[${plain(option.about)}]${value}`));
  };
  const lines = (list: readonly OptionWords[], indent: string): string =>
    list
      .flatMap(specs)
      .map((spec) => ` \\\n${indent}${spec}`)
      .join('');
  const caseOf = ({ name: command, options: own, words, subcommands }: CommandWords, indent: string): string => {
    const rest = ` \\\n${indent}    ${quoted(`*:argument:${action(words)}`)}`;
    const body = subcommands.length > 0 ? group(subcommands, own, `${indent}  `) : '';
    const alone = `${indent}  _arguments${lines(own, `${indent}    `)}${rest}`;
    return `${indent}${command})\n${body === '' ? alone : body}\n${indent}  ;;`;
  };
  const group = (list: readonly CommandWords[], own: readonly OptionWords[], indent: string): string =>
    [
      `${indent}commands=(`,
      ...list.map((command) => `${indent}  ${quoted(`${plain(command.name)}:${command.about}`)}`),
      `${indent})`,
      `${indent}state=`,
      `${indent}_arguments -C${lines(own, `${indent}  `)} \\`,
      `${indent}  '1: :->command' '*:: :->argument'`,
      `${indent}if [[ $state == command ]]; then _describe command commands; return; fi`,
      `${indent}case $line[1] in`,
      ...list.map((command) => caseOf(command, `${indent}  `)),
      `${indent}esac`,
    ].join('\n');
  return `#compdef ${name}
# zsh completion of ${name}; for ~/.zshrc, behind compinit: eval "$(${name} completion zsh)"
_${name}() {
  local curcontext=$curcontext state line
  local -a commands
${group(commands, options, '  ')}
}
if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function fish({ name, commands, options }: ProgramWords): string {
  const quoted = (text: string): string => `'${text.replace(/['\\]/g, '\\$&')}'`;
  const line = (...parts: readonly string[]): string => ['complete', '-c', name, ...parts].join(' ');
  const values = (value: Value | undefined): string[] => {
    if (value === undefined) return [];
    return value === 'file' ? ['-r', '-F'] : value === 'any' ? ['-x'] : ['-x', '-a', quoted(value.join(' '))];
  };
  const spelled = (names: readonly string[]): string[] =>
    names.flatMap((one) => (one.startsWith('--') ? ['-l', one.slice(2)] : ['-s', one.slice(1)]));
  const option = (when: string, { names, about, value }: OptionWords): string =>
    line('-n', quoted(when), ...spelled(names), ...values(value), '-d', quoted(about));
  const first = '__fish_use_subcommand';
  const ofCommand = (command: CommandWords, above = ''): string[] => {
    const seen = `${above}__fish_seen_subcommand_from ${command.name}`;
    const names = command.subcommands.map((one) => one.name).join(' ');
    const when = names === '' ? seen : `${seen}; and not __fish_seen_subcommand_from ${names}`;
    const args = command.words === 'file' ? [line('-n', quoted(when), '-F')] : [];
    const below = command.subcommands.flatMap((one) => [
      line('-n', quoted(when), '-a', one.name, '-d', quoted(one.about)),
      ...ofCommand(one, `${seen}; and `),
    ]);
    const words =
      typeof command.words === 'string' || names !== ''
        ? []
        : [line('-n', quoted(when), '-a', quoted(command.words.join(' ')))];
    return [...args, ...words, ...command.options.map((one) => option(when, one)), ...below];
  };
  return [
    `# fish completion of ${name}; for ~/.config/fish/completions/${name}.fish`,
    line('-f'),
    ...options.map((one) => option(first, one)),
    ...commands.map((command) => line('-n', quoted(first), '-a', command.name, '-d', quoted(command.about))),
    ...commands.flatMap((command) => ofCommand(command)),
    '',
  ].join('\n');
}
