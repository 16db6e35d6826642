/**
 * Writes docs/api.md from the declarations that the compiler emits, docstrings included: what is exported, and what
 * that names in its own file. The declarations are the page's code, so that nothing is said twice. Members that are
 * private, protected or marked @internal are left out.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const apiPath = fileURLToPath(new URL('../../docs/api.md', import.meta.url));
const declarations = new URL('../../dist/src/', import.meta.url);

const INTRO = `# The library

Made by \`npm run docs\` from the docstrings; change those instead.

    import { copy } from 'blockferry';

    const run = copy({ source: 'disk.vhd', target: '/backup/' });
    for await (const event of run) if (event.type === 'progress') console.log(event.bytesDone, event.bytesTotal);
    const { root } = await run.result;

More of this in [examples](../examples). Sizes are in bytes, times in milliseconds and rates in bytes per second, as the
names say.
`;

const SECTIONS = [
  { title: 'Functions', holds: ({ kind }) => kind === 'function' },
  { title: 'Runs', holds: ({ kind, name }) => kind === 'class' && name.endsWith('Run') },
  { title: 'Options and results', holds: ({ file }) => !/errors|events/.test(file) },
  { title: 'Events', holds: ({ file }) => file.includes('events') },
  { title: 'Errors', holds: () => true },
];

/** The page; `errorKinds` is the table of the error codes. @throws Error when the project is not built */
export function apiPage(errorKinds) {
  const entries = exportedEntries();
  const types = entries.filter(({ kind }) => kind !== 'function');
  const names = new Map(types.map(({ name }) => [name, name.toLowerCase()]));
  const left = new Set(entries);
  const sections = SECTIONS.map(({ title, holds }) => {
    const own = [...left].filter(holds);
    for (const entry of own) left.delete(entry);
    return `## ${title}\n\n${own.map((entry) => entryText(entry, names, errorKinds)).join('\n')}`;
  });
  return `${INTRO}\n${sections.join('\n')}`;
}

function entryText({ name, about, code }, names, errorKinds) {
  const table = name === 'ErrorCode' ? errorTable(errorKinds) : undefined;
  const bare = code.replace(/\/\*[\s\S]*?\*\/|'[^'\n]*'/g, '');
  const others = [...names.keys()].filter((other) => other !== name && new RegExp(`\\b${other}\\b`).test(bare));
  const see = others.map((other) => `[${other}](#${names.get(other)})`).join(', ');
  const text = about.replace(/\{@link (\w+)\}/g, (_, other) => `[${other}](#${other.toLowerCase()})`);
  const parts = [`### ${name}`, text, table ?? `\`\`\`ts\n${code}\n\`\`\``, see && `Named here: ${see}`];
  return `${parts.filter(Boolean).join('\n\n')}\n`;
}

function errorTable(errorKinds) {
  const rows = Object.entries(errorKinds).map(([code, { exitCode, retryable, hresult }]) => {
    return `| \`${code}\` | ${exitCode} | ${retryable ? 'yes' : ''} | \`0x${hresult.toString(16)}\` |`;
  });
  return ['| code | exit code | tried again | BITS HRESULT |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** In the order of the index: what it declares itself, then what it exports of others. */
function exportedEntries() {
  const index = readDeclarations('index.d.ts');
  const entries = declaredIn(index, 'index.d.ts').filter(({ exported }) => exported);
  for (const [, list, from] of index.matchAll(/^export (?:type )?(\{[^}]*\}|\*) from '\.\/([^']+)\.js';/gm)) {
    const declared = declaredIn(readDeclarations(`${from}.d.ts`), `${from}.d.ts`);
    const wanted = list === '*' ? undefined : list.match(/\w+(?=\s*[,}])/g);
    const own = declared.filter(({ name, kind, exported, about }) => {
      // A whole file gives its types alone.
      return (wanted ? wanted.includes(name) : exported && kind !== 'const') && !about.includes('@internal');
    });
    entries.push(...withNamed(own, declared));
  }
  return entries;
}

/** What they extend or consist of and what is declared beside them is needed to read them. */
function withNamed(own, declared) {
  const all = [...own];
  for (const entry of all) {
    const named = declared.filter(({ name, kind }) => kind !== 'const' && new RegExp(`\\b${name}\\b`).test(entry.code));
    for (const other of named) if (!all.includes(other)) all.push(other);
  }
  return all;
}

function readDeclarations(path) {
  const url = new URL(path, declarations);
  if (!existsSync(url)) throw new Error('Nothing is built yet: npm run build');
  return readFileSync(url, 'utf8');
}

const HEAD = /^(export )?(?:declare )?(interface|type|class|function|const) (\w+)/;

/** The declarations of a file: each begins at the margin, and ends with the first line that closes it there. */
function declaredIn(text, file) {
  const entries = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const head = HEAD.exec(lines[at]);
    if (!head) continue;
    const begin = at;
    while (at < lines.length - 1 && !/^(\S.*)?[;}]$/.test(lines[at])) at++;
    const code = shownMembers(lines.slice(begin, at + 1)).join('\n');
    const before = lines.slice(0, begin).join('\n');
    const about = /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*$/.exec(before)?.[1] ?? '';
    const plain = code.replace(/^export /, '').replace(/^declare /, '');
    entries.push({
      name: head[3],
      kind: head[2],
      exported: Boolean(head[1]),
      file,
      about: proseOf(about),
      code: withWords(plain, text),
    });
  }
  return entries;
}

/** A type that is one of a list of words shows them. */
function withWords(code, text) {
  return code.replace(/\(typeof (\w+)\)\[number\]/g, (_, list) => {
    const words = new RegExp(`const ${list}: readonly \\[([^\\]]*)\\]`).exec(text)?.[1];
    if (words === undefined) throw new Error(`${list} is no list of words that is declared beside its type`);
    return words.replaceAll('"', "'").split(', ').join(' | ');
  });
}

function proseOf(docstring) {
  const lines = docstring.split('\n').map((line) => line.replace(/^\s*\*? ?/, '').trimEnd());
  return lines
    .join('\n')
    .trim()
    .replace(/\s*@throws /g, '\n\nThrows: ');
}

/** Members stand four columns in; each may have a docstring before it and lines of its own behind it. */
function shownMembers(lines) {
  const shown = [];
  let member = [];
  for (const line of lines) {
    member.push(line.replace(/^( {4})+/, (indent) => ' '.repeat(indent.length / 2)));
    const goesOn = /^ {5,}|^ {4}\/\*\*(?!.*\*\/)|^ {4} \*|^ {4}\/\*\*.*\*\/$/.test(line) || /^ {4}.*[{]$/.test(line);
    if (goesOn && !/^ {4}\}/.test(line)) continue;
    const text = member.join('\n');
    if (!/^ {2}(#private|protected |private )|@internal/m.test(text)) shown.push(...member);
    member = [];
  }
  return [...shown, ...member];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { ERROR_KINDS } = await import('../../dist/src/core/errors.js');
  mkdirSync(new URL('../../docs', import.meta.url), { recursive: true });
  writeFileSync(apiPath, apiPage(ERROR_KINDS));
  console.log('docs/api.md is written');
}
