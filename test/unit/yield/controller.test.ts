import { expect, test } from 'vitest';
import { BLOCK_MAX, RATE } from '../../../src/core/pace-level.js';
import { KiB } from '../../../src/core/units.js';
import type { Sample } from '../../../src/yield/control-law.js';
import { newOwnLevels, type Watched, YieldController } from '../../../src/yield/controller.js';
import { FakeClock } from '../../support/fake-clock.js';
import { DiskModel } from '../../support/model-disk.js';
import { Seeded } from '../../support/seeded.js';

const CEILING = 60e6;

class Scene {
  readonly clock = new FakeClock();
  readonly levels = newOwnLevels();
  readonly #disk = new DiskModel({ ceiling: CEILING, seeded: new Seeded(1) });
  readonly controller: YieldController;
  neighbours = 0;
  samples = 0;

  constructor(watched: Partial<Watched> = {}) {
    const all: Watched = {
      ...{ name: 'sdx', link: false, seesOthers: true, seesPressure: true, flows: 1 },
      ...watched,
      sample: (ms) => this.#sample(ms),
    };
    this.controller = new YieldController({ levels: this.levels, watched: all, goal: 'gentle', clock: this.clock });
  }

  #sample(ms: number): Sample {
    this.samples++;
    return this.#disk.run(ms, this.rate, this.blockMax || 256 * KiB, this.neighbours);
  }

  get rate(): number {
    return Number(new BigInt64Array(this.levels.reads)[RATE]);
  }

  get blockMax(): number {
    return Number(new BigInt64Array(this.levels.reads)[BLOCK_MAX]);
  }

  async pass(seconds: number): Promise<void> {
    for (let tick = 0; tick < seconds * 10; tick++) {
      this.clock.advance(100);
      await new Promise(setImmediate);
    }
  }
}

test('the rate that all threads see falls when a neighbour comes, and is lifted when it has gone', async () => {
  const scene = new Scene();
  scene.controller.use();
  await scene.pass(3);
  expect(scene.rate).toBe(0);
  expect(scene.controller.reason).toBeUndefined();
  scene.neighbours = 1;
  await scene.pass(2);
  expect(scene.rate).toBeGreaterThan(CEILING / 2);
  expect(scene.rate).toBeLessThan(0.85 * CEILING);
  expect(scene.blockMax).toBe(64 * KiB);
  expect(scene.controller.reason).toMatch(
    /^others use sdx \(1\d\d requests a second, .*\): it yields \(gentle\), .* now$/,
  );
  scene.neighbours = 0;
  await scene.pass(5);
  expect([scene.rate, scene.blockMax]).toEqual([0, 0]);
  scene.controller.release();
});

test('who reads and writes on one storage gets half of the rate each way', async () => {
  const scene = new Scene({ flows: 2 });
  scene.neighbours = 1;
  scene.controller.use();
  await scene.pass(5);
  expect(scene.rate).toBe(Math.floor(scene.controller.rate / 2));
  scene.controller.release();
});

test('it watches as long as somebody uses it, and then lets go of the rate', async () => {
  const scene = new Scene();
  scene.neighbours = 1;
  scene.controller.use();
  scene.controller.use();
  await scene.pass(3);
  scene.controller.release();
  await scene.pass(1);
  expect(scene.rate).toBeGreaterThan(0);
  scene.controller.release();
  const { samples } = scene;
  await scene.pass(1);
  expect([scene.rate, scene.blockMax, scene.samples, scene.clock.sleeping]).toEqual([0, 0, samples, 0]);
});

test('what cannot be seen is said, with what it goes by instead', () => {
  expect(new Scene().controller.notes).toEqual([]);
  expect(new Scene({ seesOthers: false }).controller.notes).toEqual([
    'what others do at sdx cannot be seen: no block device is known below it. ' +
      'It yields by how long its own blocks take, and by the I/O pressure that the kernel tells',
  ]);
  expect(new Scene({ seesOthers: false, seesPressure: false }).controller.notes[0]).toContain('tells no pressure');
  expect(new Scene({ link: true, seesOthers: false }).controller.notes).toEqual([]);
});
