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
/** Of a small file there is room for more. */
const FEW_CELLS = 28;
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
    const cells = this.#map?.cells ?? [];
    const columns = Math.min(this.#columns(), cells.length);
    const size = Math.max(CELL, Math.min(FEW_CELLS, Math.floor(this.root.clientWidth / cells.length) - GAP));
    const [step, rows] = [size + GAP, Math.ceil(cells.length / columns)];
    this.#canvas.width = columns * step * devicePixelRatio;
    this.#canvas.height = rows * step * devicePixelRatio;
    this.#canvas.style.width = `${columns * step}px`;
    this.#canvas.style.height = `${rows * step}px`;
    const pen = this.#canvas.getContext('2d');
    if (!pen || cells.length === 0) return;
    pen.scale(devicePixelRatio, devicePixelRatio);
    const colours = Object.fromEntries(CHUNK_STATES.map((state) => [state, themeColour(`--chunk-${state}`)]));
    for (const [at, state] of cells.entries()) {
      pen.fillStyle = colours[state] ?? '';
      pen.fillRect((at % columns) * step, Math.floor(at / columns) * step, size, size);
    }
  }
}
