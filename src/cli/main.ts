#!/usr/bin/env node
/** The command's entry: threads take long to start, so they do that first, beside the loading of everything else. */
import { startRunnerEarly } from '../compose.js';

if (process.argv[2] === 'copy' || process.argv[2] === 'verify') startRunnerEarly();
const { runCommandLine } = await import('./command-line.js');
await runCommandLine();
