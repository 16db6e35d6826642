/** The suites of the http(s) source once more, through undici alone: the fast way and the plain one read the same. */
import { readPlainly } from './http-helpers.js';

readPlainly();

await import('./http.test.js');
await import('./http-faults.test.js');
await import('./http-redirects.test.js');
await import('./http-versions.test.js');
