/** All cases of the bench, by the names that users type, in the order in which they run. */
import { copyCases } from './cases-copy.js';
import { fioCase } from './cases-fio.js';
import { httpCase } from './cases-http.js';
import { limitsCase } from './cases-limits.js';
import { resumeCase } from './cases-resume.js';
import { sparseCases } from './cases-sparse.js';
import type { BenchCase } from './measure.js';

export const cases: readonly BenchCase[] = [...copyCases, httpCase, ...sparseCases, limitsCase, resumeCase, fioCase];
