/** What has become of each chunk of a file, as a picture, with the same in words beside it. */
import { CHUNK_STATES, type ChunkMapView, type ChunkState } from '../../transfer/chunk-map.js';
import { element, setAttribute, setText } from './dom.js';
import { onThemeChange, themeColour } from './theme.js';
import { count } from './words.js';

const WORDS: Readonly<Record<ChunkState, string>> = {
  'to-do': 'to do',
  copying: 'being read',
  written: 'written',
  recorded: 'written and on record',
  proven: 'proven again or reused',
  zero: 'zero',
  're-sent': 're-sent',
};

const CELL = 11;
const GAP = 2;
const ROWS_MAX = 16;

export class ChunkPicture {
  readonly root: HTMLElement;
  readonly #canvas = element('canvas', { role: 'img', class: 'chunks' });
  readonly #counts = new Map<ChunkState, HTMLElement>();
  readonly #none = element('p', { class: 'reason' }, 'There is a map while the file is being copied.');
  readonly #figure: HTMLElement;
  #map: ChunkMapView | undefined;

  constructor(signal: AbortSignal) {
    const legend = CHUNK_STATES.map((state) => {
      const number = element('span', { class: 'value' });
      this.#counts.set(state, number);
      return element('li', {}, element('span', { class: `swatch chunk-${state}` }), `${WORDS[state]} `, number);
    });
    this.#figure = element('figure', { hidden: true }, this.#canvas, element('ul', { class: 'legend' }, ...legend));
    this.root = element('div', {}, this.#figure, this.#none);
    const resized = new ResizeObserver(() => this.#draw());
    resized.observe(this.root);
    signal.addEventListener('abort', () => resized.disconnect());
    onThemeChange(() => this.#draw(), signal);
  }

  /** How many cells there is room for. */
  get cells(): number {
    return this.#columns() * ROWS_MAX;
  }

  show(map: ChunkMapView | undefined): void {
    this.#map = map;
    this.#figure.hidden = map === undefined;
    this.#none.hidden = map !== undefined;
    if (!map) return;
    for (const [state, node] of this.#counts) setText(node, map.counts[state].toLocaleString('en'));
    const some = CHUNK_STATES.filter((state) => map.counts[state] > 0);
    const said = some.map((state) => `${map.counts[state].toLocaleString('en')} ${WORDS[state]}`);
    setAttribute(this.#canvas, 'aria-label', `Map of ${count(map.chunks, 'chunk')}: ${said.join(', ')}.`);
    this.#draw();
  }

  #columns(): number {
    return Math.max(8, Math.floor((this.root.clientWidth + GAP) / (CELL + GAP)));
  }

  #draw(): void {
    const columns = this.#columns();
    const cells = this.#map?.cells ?? [];
    const rows = Math.ceil(cells.length / columns);
    const [width, height] = [Math.min(columns, cells.length) * (CELL + GAP), rows * (CELL + GAP)];
    const scale = devicePixelRatio;
    this.#canvas.width = width * scale;
    this.#canvas.height = height * scale;
    this.#canvas.style.width = `${width}px`;
    this.#canvas.style.height = `${height}px`;
    const pen = this.#canvas.getContext('2d');
    if (!pen) return;
    pen.scale(scale, scale);
    const colours = Object.fromEntries(CHUNK_STATES.map((state) => [state, themeColour(`--chunk-${state}`)]));
    for (const [at, state] of cells.entries()) {
      pen.fillStyle = colours[state] ?? '';
      pen.fillRect((at % columns) * (CELL + GAP), Math.floor(at / columns) * (CELL + GAP), CELL, CELL);
    }
  }
}
