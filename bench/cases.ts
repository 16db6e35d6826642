/** All cases of the bench, by the names that users type, in the order in which they run and are shown. */
import { copyCases } from './cases-copy.js';
import { diskCases } from './cases-disk.js';
import { fioCase } from './cases-fio.js';
import { fsyncCase } from './cases-fsync.js';
import { hashCase } from './cases-hash.js';
import { httpCase } from './cases-http.js';
import { limitsCase } from './cases-limits.js';
import { migrateCases } from './cases-migrate.js';
import { neighbourCase } from './cases-neighbour.js';
import { peerCases } from './cases-peer.js';
import { reflinkCase } from './cases-reflink.js';
import { resumeCase } from './cases-resume.js';
import { s3Case } from './cases-s3.js';
import { serviceCases } from './cases-service.js';
import { sftpCases } from './cases-sftp.js';
import { sparseCases } from './cases-sparse.js';
import { treeCases } from './cases-tree.js';
import type { BenchCase } from './measure.js';

export const cases: readonly BenchCase[] = [
  ...copyCases,
  ...treeCases,
  httpCase,
  ...sftpCases,
  s3Case,
  ...peerCases,
  ...serviceCases,
  ...migrateCases,
  neighbourCase,
  ...sparseCases,
  reflinkCase,
  ...diskCases,
  hashCase,
  limitsCase,
  resumeCase,
  fioCase,
  fsyncCase,
];
