import { expect, test } from 'vitest';
import { CHUNK_STATES, ChunkMap, type ChunkState } from '../../../src/transfer/chunk-map.js';

/** A map whose chunks are in these states. */
function mapOf(states: readonly ChunkState[]): ChunkMap {
  const map = new ChunkMap(states.length);
  for (const [chunk, state] of states.entries()) STEPS[state](map, chunk);
  return map;
}

const STEPS: Readonly<Record<ChunkState, (map: ChunkMap, chunk: number) => void>> = {
  'to-do': () => undefined,
  copying: (map, chunk) => map.started(chunk, 'copy'),
  written: (map, chunk) => {
    map.started(chunk, 'copy');
    map.written(chunk);
  },
  recorded: (map, chunk) => {
    STEPS.written(map, chunk);
    map.settled(chunk);
  },
  proven: (map, chunk) => {
    map.claimed(chunk);
    map.started(chunk, 'prove');
    map.settled(chunk);
  },
  zero: (map, chunk) => map.zero(chunk),
  're-sent': (map, chunk) => {
    STEPS.written(map, chunk);
    map.again(chunk);
    STEPS.recorded(map, chunk);
  },
};

test('each state of a chunk is told as it is', () => {
  const { chunks, cells, counts } = mapOf(CHUNK_STATES).view(100);
  expect(cells).toEqual(CHUNK_STATES);
  expect(chunks).toBe(7);
  expect(Object.values(counts)).toEqual([1, 1, 1, 1, 1, 1, 1]);
});

test('a cell of many chunks looks no further than its last chunk is', () => {
  expect(mapOf(['recorded', 'recorded', 'written', 'recorded']).view(1).cells).toEqual(['written']);
  expect(mapOf(['recorded', 'to-do', 'written', 'zero']).view(1).cells).toEqual(['to-do']);
  expect(mapOf(['zero', 'proven', 'zero', 'recorded']).view(2).cells).toEqual(['proven', 'recorded']);
});

test('a cell shows that it is worked on, wherever in it that is', () => {
  expect(mapOf(['recorded', 'copying', 'to-do', 'to-do']).view(2).cells).toEqual(['copying', 'to-do']);
});

test('one chunk that was sent again shows among thousands, once its cell is finished', () => {
  const states: ChunkState[] = Array.from({ length: 10_000 }, () => 'recorded');
  states[7500] = 're-sent';
  expect(mapOf(states).view(4).cells).toEqual(['recorded', 'recorded', 'recorded', 're-sent']);
  states[9999] = 'to-do';
  expect(mapOf(states).view(4).cells[3]).toBe('to-do');
});

test('a retry marks the chunk, a proof that is tried again does not', () => {
  const map = new ChunkMap(2);
  map.started(0, 'copy');
  map.retried(0);
  map.written(0);
  map.started(1, 'prove');
  map.retried(1);
  map.settled(1);
  expect(map.view(2).cells).toEqual(['re-sent', 'proven']);
});

test('a chunk that was written as zeroes is zero, also on record', () => {
  const map = new ChunkMap(1);
  map.started(0, 'zero');
  map.written(0);
  map.settled(0);
  expect(map.view(1).cells).toEqual(['zero']);
});

test('every chunk is in exactly one cell and in one count, however many cells there are', () => {
  const map = mapOf(Array.from({ length: 1000 }, (_, chunk) => (chunk < 300 ? 'recorded' : 'to-do')));
  for (const cells of [1, 7, 79, 999, 1000, 5000]) {
    const view = map.view(cells);
    expect(view.cells).toHaveLength(Math.min(cells, 1000));
    expect(view.counts).toMatchObject({ recorded: 300, 'to-do': 700, copying: 0 });
    expect(Math.abs(view.cells.filter((state) => state === 'recorded').length / view.cells.length - 0.3)).toBeLessThan(
      1 / view.cells.length,
    );
  }
});

test('a file without chunks has a map without cells', () => {
  expect(new ChunkMap(0).view(80)).toMatchObject({ chunks: 0, cells: [] });
});
