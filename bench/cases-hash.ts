/**
 * The case that hashes and writes nothing: what the proof of every byte costs. Blockferry reads the same file as
 * xxh64sum and sha256sum do, and zeroes that need no reading at all. Each result is checked: a fast wrong hash is a
 * failed run.
 */
import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { type Algorithm, type Hasher, loadHasher, rootDigest, toHex } from '../src/core/digest.js';
import { TransferError } from '../src/core/errors.js';
import { GiB, MiB } from '../src/core/units.js';
import { type HashResult, hashCommand } from './hash-child.js';
import {
  type Bench,
  type BenchCase,
  type CaseResult,
  type Contender,
  compareWith,
  isPresent,
  runSeries,
  wallTimes,
} from './measure.js';
import { valueFinding } from './statistics.js';

const ALGORITHMS: readonly Algorithm[] = ['xxh64', 'sha256'];
const TOOLS: Readonly<Record<Algorithm, string>> = { xxh64: 'xxh64sum', sha256: 'sha256sum' };
const BLOCK_BYTES = MiB;

export const hashCase: BenchCase = {
  name: 'hash',
  title: 'the library from a cached file, and from zero:, to null:, beside xxh64sum and sha256sum of that file',
  sourceBytes: (size) => size,
  run: async (bench) => {
    const results = [];
    for (const algorithm of ALGORITHMS) results.push(await hash(bench, algorithm));
    return {
      contenders: results.flatMap(({ contenders }) => contenders),
      findings: results.flatMap(({ findings }) => findings),
      notes: results.flatMap(({ notes }) => notes),
    };
  },
};

async function hash(bench: Bench, algorithm: Algorithm): Promise<CaseResult> {
  const { workspace, sizeBytes } = bench;
  const source = await workspace.source(sizeBytes);
  const tool = TOOLS[algorithm];
  const ours = (from: string, target: string): Contender => ({
    name: `${algorithm}, ${from === source ? 'file' : 'zero:'}`,
    argv: hashCommand(algorithm, from, target),
    target,
  });
  const [hashed, zeroed, said] = [workspace.path('hashed'), workspace.path('zeroed'), workspace.path('said')];
  const theirs: Contender = {
    name: tool,
    argv: ['sh', '-c', `${tool} "$0" >"$1"`, source, said],
    target: said,
    tool,
  };
  const check = async (target: string): Promise<void> => {
    const from = target === zeroed ? undefined : source;
    const text = readFileSync(target, 'utf8');
    if (target === said) assertHash(tool, text.split(' ')[0], await wholeHash(algorithm, source));
    else await assertRoot(JSON.parse(text) as HashResult, { algorithm, from, sizeBytes });
  };
  const contenders = [ours(source, hashed), theirs, ours(`zero:${sizeBytes}`, zeroed)];
  const results = await runSeries(bench, { contenders, cached: source, warmBytes: 0, check });
  const rates = wallTimes(results.at(-1)).map((seconds) => sizeBytes / GiB / seconds);
  const findings = [
    ...compareWith(results, tool, 'ours / theirs'),
    valueFinding(`${algorithm} from zero:, process start included`, 'GiB/s', rates),
  ];
  const notes = isPresent(theirs) ? [] : [`without ${tool}: it is not installed`];
  return { contenders: results, findings, notes };
}

interface Hashed {
  readonly algorithm: Algorithm;
  /** Absent: zeroes. */
  readonly from: string | undefined;
  readonly sizeBytes: number;
}

/** Blockferry's root, made again chunk after chunk. @throws TransferError E_INTEGRITY */
async function assertRoot(found: HashResult, { algorithm, from, sizeBytes }: Hashed): Promise<void> {
  const newHasher = await loadHasher(algorithm);
  const digests: Uint8Array[] = [];
  for (let offset = 0; offset < sizeBytes; offset += found.chunkBytes) {
    const hasher = newHasher();
    const length = Math.min(found.chunkBytes, sizeBytes - offset);
    if (from === undefined) hasher.update(Buffer.alloc(length));
    else await feed(hasher, from, offset, length);
    digests.push(hasher.digest());
  }
  const about = { algorithm, chunkBytes: found.chunkBytes, size: sizeBytes };
  assertHash(`${algorithm} root`, found.root, toHex(rootDigest(newHasher, about, Buffer.concat(digests))));
}

async function wholeHash(algorithm: Algorithm, path: string): Promise<string> {
  const hasher = (await loadHasher(algorithm))();
  await feed(hasher, path, 0, Number.MAX_SAFE_INTEGER);
  return toHex(hasher.digest());
}

async function feed(hasher: Hasher, path: string, offset: number, length: number): Promise<void> {
  const file = await open(path);
  const block = Buffer.alloc(BLOCK_BYTES);
  try {
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(block, 0, Math.min(block.length, length - done), offset + done);
      if (bytesRead === 0) break;
      hasher.update(block.subarray(0, bytesRead));
      done += bytesRead;
    }
  } finally {
    await file.close();
  }
}

function assertHash(what: string, found: string | undefined, expected: string): void {
  if (found === expected) return;
  throw new TransferError('E_INTEGRITY', `${what}: it is ${found}, expected ${expected}`);
}
