/**
 * A vitest reporter that writes what run-tests needs to know as JSON to the file in BLOCKFERRY_TEST_SUMMARY.
 * It counts what the usual JSON leaves out: errors outside tests, files that did not load, and why a test was skipped.
 */
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';

// vitest takes a reporter by path only as the default export.
export default class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors, reason) {
    const summary = { passed: [], failed: [], skipped: [], errors: [], interrupted: reason === 'interrupted' };
    for (const module of modules) collect(module, summary);
    for (const error of unhandledErrors) summary.errors.push(`outside of tests: ${error.message}`);
    writeFileSync(process.env.BLOCKFERRY_TEST_SUMMARY, JSON.stringify(summary));
  }
}

function collect(module, summary) {
  const file = relative(process.cwd(), module.moduleId);
  for (const suite of [module, ...module.children.allSuites()]) {
    for (const error of suite.errors()) summary.errors.push(`${file}: ${error.message}`);
  }
  for (const test of module.children.allTests()) {
    const result = test.result();
    // A test without a result never ran to its end, so it must not count as anything good.
    const state = result.state === 'pending' ? 'failed' : result.state;
    summary[state].push({
      file,
      title: test.fullName,
      reason: result.errors?.[0]?.message.split('\n')[0] ?? result.note ?? '',
    });
  }
}
