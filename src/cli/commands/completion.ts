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
  const commands = help.visibleCommands(program).map((command) => ({
    name: command.name(),
    about: command.description(),
    options: help.visibleOptions(command).map(describeOption),
    // The argument of the built-in help is the name of a command.
    words: command.name() === 'help' ? program.commands.map((one) => one.name()) : wordsOf(command.registeredArguments),
  }));
  return WRITERS[shell]({ name: program.name(), commands, options: help.visibleOptions(program).map(describeOption) });
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
  return { ...about, value: option.argChoices ?? (option.flags.includes('<file>') ? 'file' : 'any') };
}

function wordsOf(args: readonly Argument[]): Value {
  return args[0]?.argChoices ?? (args.length > 0 ? 'file' : 'any');
}

const WRITERS: Readonly<Record<Shell, (program: ProgramWords) => string>> = { bash, zsh, fish };

function bash({ name, commands, options }: ProgramWords): string {
  const spelled = (list: readonly OptionWords[]): string => list.flatMap(({ names }) => names).join(' ');
  const reply = (words: string): string => `COMPREPLY=($(compgen -W '${words}' -- "$cur"))`;
  // With nothing to reply, bash completes a file; where that makes no sense it must not.
  const values = (value: Value): string =>
    value === 'file' ? ':' : value === 'any' ? 'compopt +o default 2>/dev/null' : reply(value.join(' '));
  const cases = commands.map(({ name: command, options: own, words }) => {
    const valued = own.flatMap((option) =>
      option.value === undefined ? [] : [`        ${option.names.join('|')}) ${values(option.value)}; return ;;`],
    );
    const after = valued.length === 0 ? [] : ['      case "$prev" in', ...valued, '      esac'];
    const dashes = `      if [[ $cur == -* && -z $end ]]; then ${reply(spelled(own))}; else ${values(words)}; fi`;
    return [`    ${command})`, ...after, dashes, '      ;;'].join('\n');
  });
  const names = commands.map((command) => command.name);
  return `# bash completion of ${name}; for ~/.bashrc: eval "$(${name} completion bash)"
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= end= at
  # "--option=value" comes as three words.
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "\${COMP_WORDS[at]}" in
      --) end=1; prev= ;;
      ${names.join('|')}) [[ -n $command ]] || command=\${COMP_WORDS[at]} ;;
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
  const cases = commands.map(({ name: command, options: own, words }) => {
    const rest = ` \\\n        ${quoted(`*:argument:${action(words)}`)}`;
    return `    ${command})\n      _arguments${lines(own, '        ')}${rest}\n      ;;`;
  });
  const described = commands.map((command) => `    ${quoted(`${plain(command.name)}:${command.about}`)}`);
  return `#compdef ${name}
# zsh completion of ${name}; for ~/.zshrc, behind compinit: eval "$(${name} completion zsh)"
_${name}() {
  local curcontext=$curcontext state line
  local -a commands=(
${described.join('\n')}
  )
  _arguments -C${lines(options, '    ')} \\
    '1: :->command' '*:: :->argument'
  if [[ $state == command ]]; then _describe command commands; return; fi
  case $line[1] in
${cases.join('\n')}
  esac
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
  const ofCommand = (command: CommandWords): string[] => {
    const when = `__fish_seen_subcommand_from ${command.name}`;
    const args = command.words === 'file' ? [line('-n', quoted(when), '-F')] : [];
    const words =
      typeof command.words === 'string' ? [] : [line('-n', quoted(when), '-a', quoted(command.words.join(' ')))];
    return [...args, ...words, ...command.options.map((one) => option(when, one))];
  };
  return [
    `# fish completion of ${name}; for ~/.config/fish/completions/${name}.fish`,
    line('-f'),
    ...options.map((one) => option(first, one)),
    ...commands.map((command) => line('-n', quoted(first), '-a', command.name, '-d', quoted(command.about))),
    ...commands.flatMap(ofCommand),
    '',
  ].join('\n');
}
