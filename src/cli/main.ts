#!/usr/bin/env node
/** The command's entry: a thread takes long to start, so it does that first, and everything else loads beside it. */
import { startRunnerEarly } from '../compose.js';

const here = !process.argv.includes('--background');
if (here && ['copy', 'verify', 'disk'].includes(process.argv[2] ?? '')) await startRunnerEarly();
const { runCommandLine } = await import('./command-line.js');
await runCommandLine();
