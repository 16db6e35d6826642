/**
 * The chunks of one file as a few lines of characters. Each state has a character of its own, so that the map says the
 * same without colours, and to those who cannot tell them apart.
 */
import type { ChunkMapView, ChunkState } from '../../index.js';
import type { Look } from './progress-text.js';

interface Sign {
  readonly character: string;
  readonly colour: number;
  readonly word: string;
}

const SIGNS: Readonly<Record<ChunkState, Sign>> = {
  'to-do': { character: '.', colour: 90, word: 'to do' },
  copying: { character: '>', colour: 93, word: 'copying' },
  written: { character: '+', colour: 36, word: 'written' },
  recorded: { character: '#', colour: 32, word: 'on record' },
  proven: { character: '=', colour: 92, word: 'proven' },
  zero: { character: 'o', colour: 34, word: 'zero' },
  're-sent': { character: '!', colour: 91, word: 're-sent' },
};

const INDENT = '     ';
const GAP = '  ';

/** How many cells fit into a line. */
export function mapColumns({ columns }: Look): number {
  return Math.max(1, columns - INDENT.length);
}

export function mapLines({ cells }: ChunkMapView, look: Look): string[] {
  const columns = mapColumns(look);
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += columns) {
    lines.push(INDENT + drawn(cells.slice(at, at + columns), look.colour));
  }
  return lines;
}

/** Runs of the same state share their colour. */
function drawn(cells: readonly ChunkState[], colour: boolean): string {
  let line = '';
  for (let at = 0; at < cells.length; ) {
    const state = cells[at] as ChunkState;
    let end = at;
    while (cells[end] === state) end++;
    line += painted(state, SIGNS[state].character.repeat(end - at), colour);
    at = end;
  }
  return line;
}

function painted(state: ChunkState, text: string, colour: boolean): string {
  return colour ? `\x1b[${SIGNS[state].colour}m${text}\x1b[39m` : text;
}

/** What the characters mean, for the states that were seen; where there is no room, the plainest go first. */
export function legendLine(seen: ReadonlySet<ChunkState>, look: Look): string {
  const states = (Object.keys(SIGNS) as ChunkState[]).filter((state) => seen.has(state));
  const width = (): number => states.reduce((sum, state) => sum + SIGNS[state].word.length + 4, INDENT.length - 2);
  while (states.length > 0 && width() > look.columns) states.shift();
  const entries = states.map((state) => {
    const { character, word } = SIGNS[state];
    return `${painted(state, character, look.colour)} ${look.colour ? `\x1b[2m${word}\x1b[22m` : word}`;
  });
  return INDENT + entries.join(GAP);
}
