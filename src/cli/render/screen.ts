/**
 * What a terminal shows of a run, for any size of it: the files under way, the bar, what goes on and why, and the map
 * of the chunks. It only makes lines; who draws them sees to it that they replace the ones before.
 */
import type { ProgressEvent, TransferEvent } from '../../core/events.js';
import type { ChunkMapView, ChunkState } from '../../index.js';
import { RunningFiles } from './file-text.js';
import { legendLine, mapColumns, mapLines } from './map-text.js';
import { barLine, doingText, type Look, limitLine } from './progress-text.js';
import { CalmLimit, type Verb } from './reporter.js';

/** The chunks of the one file that is copied; undefined before they are known. */
export type MapView = (cells: number) => ChunkMapView | undefined;

export interface ScreenLook extends Look {
  readonly rows: number;
}

/** Fewer rows leave room for the bar alone. */
const ROWS_FOR_REASON = 4;
const ROWS_FOR_MAP = 8;
/** One more line of map for every so many rows. */
const ROWS_PER_MAP_LINE = 8;
const MAP_LINES_MAX = 4;
/** A map of less shows nothing that the bar does not. */
const MAP_CHUNKS_MIN = 16;
/** Rows that stay free of files: the bar, the reason, and what was said before. */
const ROWS_BESIDE_FILES = 4;

export class Screen {
  readonly #verb: Verb;
  readonly #map: MapView | undefined;
  readonly #limit = new CalmLimit();
  readonly #files = new RunningFiles();
  readonly #seen = new Set<ChunkState>();
  #progress: ProgressEvent | undefined;

  constructor(verb: Verb, map?: MapView) {
    this.#verb = verb;
    this.#map = map;
  }

  see(event: TransferEvent): void {
    this.#limit.see(event);
    if (event.type === 'file') this.#files.see(event);
    if (event.type === 'progress') this.#progress = event;
  }

  /** None before the first progress. No line is wider than the columns of the look. */
  lines(look: ScreenLook): string[] {
    const progress = this.#progress;
    if (!progress) return [];
    const lines = [...this.#files.lines(look, look.rows - ROWS_BESIDE_FILES), barLine(progress, look)];
    if (look.rows < ROWS_FOR_REASON) return lines;
    lines.push(limitLine(doingText(progress, this.#verb), this.#limit.of(progress), look));
    return progress.files ? lines : [...lines, ...this.#mapLines(look)];
  }

  #mapLines(look: ScreenLook): string[] {
    if (!this.#map || look.rows < ROWS_FOR_MAP) return [];
    const lines = Math.min(MAP_LINES_MAX, Math.floor(look.rows / ROWS_PER_MAP_LINE));
    const view = this.#map(lines * mapColumns(look));
    if (!view || view.chunks < MAP_CHUNKS_MIN) return [];
    for (const [state, count] of Object.entries(view.counts)) if (count > 0) this.#seen.add(state as ChunkState);
    return [...mapLines(view, look), legendLine(this.#seen, look)];
  }
}
