/** What the tidiness tests read: the project's own files, and their code without comments, strings and templates. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface SourceFile {
  /** From the project's root, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));

/** Every .ts and .mjs file below these folders of the project; a folder that is not there yet has none. */
export function sourceFiles(...folders: readonly string[]): readonly SourceFile[] {
  const present = new Set(readdirSync(projectRoot));
  return folders
    .filter((folder) => present.has(folder))
    .flatMap((folder) => readdirSync(join(projectRoot, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && /\.(ts|mjs)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => ({ path: relative(projectRoot, path).split(sep).join('/'), text: readFileSync(path, 'utf8') }));
}

/** The module specifiers that a text imports or re-exports, types and dynamic imports included. */
export function importedSpecifiers(text: string): readonly string[] {
  const code = text.replace(/^\s*(\/?\*|\/\/).*$/gm, '');
  const statements = code.matchAll(/^\s*(?:import|export)\b[^'";]*?\bfrom\s*['"]([^'"]+)['"]/gm);
  const others = code.matchAll(/(?:^\s*import\s*|\bimport\(\s*)['"]([^'"]+)['"]/gm);
  return [...statements, ...others].map((match) => match[1] ?? '');
}

const slashedRegExp = /(?<=[=(,:;!&|?{}[\n]\s*|\breturn\s+)\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/;
const notCode = new RegExp(
  [
    /\/\*[\s\S]*?\*\//, // block comments
    /\/\/[^\n]*/, // line comments
    /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/, // strings
    slashedRegExp,
  ]
    .map((part) => part.source)
    .join('|'),
  'g',
);

/** The code alone: what was comment, string, pattern or template text is blank; line numbers stay what they were. */
export function codeOnly(text: string): string {
  const withoutTemplates = text.replace(/`(?:\\[\s\S]|[^`\\])*`/g, (template) => {
    const holes = [...template.matchAll(/\$\{([^{}]*)\}/g)].map((hole) => hole[1]).join(';');
    return `(${holes})${template.replace(/[^\n]/g, '')}`;
  });
  return withoutTemplates.replace(notCode, (match) => `''${match.replace(/[^\n]/g, '')}`);
}

/** "path:line" of each place in a text that matches. */
export function places(file: SourceFile, pattern: RegExp, text = file.text): readonly string[] {
  return text.split('\n').flatMap((line, index) => (pattern.test(line) ? [`${file.path}:${index + 1}`] : []));
}
