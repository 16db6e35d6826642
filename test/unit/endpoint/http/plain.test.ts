/** The suites of the http(s) source once more, through undici alone: the fast way and the plain one read the same. */
import { readPlainly } from './helpers.js';

readPlainly();

await import('../http.test.js');
await import('./faults.test.js');
await import('./redirects.test.js');
await import('./versions.test.js');
