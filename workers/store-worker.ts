/** The entry of the thread that keeps the jobs of a service. */
import { parentPort, workerData } from 'node:worker_threads';
import { serveStore } from '../src/service/store/store-thread.js';

if (parentPort) serveStore(parentPort, workerData);
