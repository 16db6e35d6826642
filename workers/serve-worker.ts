/** The entry of a thread of `blockferry serve`. */
import { parentPort, workerData } from 'node:worker_threads';
import { defaultRegistry } from '../src/compose.js';
import { serveThread } from '../src/daemon/serve-thread.js';

if (parentPort) await serveThread(parentPort, workerData, defaultRegistry());
