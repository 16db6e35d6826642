/** Questions before what cannot be undone. Escape is a no. */
import { formatBytes } from '../../core/units.js';
import type { JobView } from '../../service/job-service.js';
import { element } from './dom.js';
import { count } from './words.js';

/** What becomes of what was copied; undefined: the job goes on. */
export async function askToCancel(job: JobView): Promise<{ readonly keepPartial: boolean } | undefined> {
  const { bytesDone } = job.progress;
  const nothing = 'Nothing was copied yet.';
  const copied = `What was copied, ${formatBytes(bytesDone)}, can be kept: a later copy of the same takes it up.`;
  const answer = await ask(
    `Cancel ${job.name}?`,
    `The job ends. ${bytesDone > 0 ? copied : nothing}`,
    bytesDone > 0
      ? [
          { value: 'delete', label: 'Cancel and delete it', look: 'danger' },
          { value: 'keep', label: 'Cancel and keep it', look: 'main' },
        ]
      : [{ value: 'delete', label: 'Cancel the job', look: 'danger' }],
  );
  return answer === undefined ? undefined : { keepPartial: answer === 'keep' };
}

export async function askToComplete({ name, progress: { filesDone, filesTotal } }: JobView): Promise<boolean> {
  const left = filesTotal - filesDone;
  const text =
    `Of ${count(filesTotal, 'file')}, ${filesDone.toLocaleString('en')} are transferred. ` +
    `They get their names; the other ${left.toLocaleString('en')} are let go of, and the job ends.`;
  const answer = await ask(`Complete ${name} before it is transferred?`, text, [
    { value: 'complete', label: 'Complete now', look: left > 0 ? 'danger' : 'main' },
  ]);
  return answer !== undefined;
}

/** `becomes`: what happens to the machine then. */
export async function askToAbort(name: string, becomes: string): Promise<boolean> {
  const answers = [{ value: 'abort', label: 'Abort the migration', look: 'danger' }] as const;
  return (await ask(`Abort the migration of ${name}?`, becomes, answers, 'Go on moving it')) !== undefined;
}

interface Answer {
  readonly value: string;
  readonly label: string;
  readonly look: 'main' | 'danger';
}

/** The value of the answer; undefined: no, in these words. */
function ask(
  title: string,
  text: string,
  answers: readonly Answer[],
  no = 'Keep the job',
): Promise<string | undefined> {
  const buttons = answers.map(({ value, label, look }) => element('button', { value, class: look }, label));
  const asked = element(
    'dialog',
    { 'aria-labelledby': 'question', 'aria-describedby': 'question-text' },
    element(
      'form',
      { method: 'dialog' },
      element('h2', { id: 'question' }, title),
      element('p', { id: 'question-text' }, text),
      element('div', { class: 'answers' }, element('button', { value: '', autofocus: true }, no), ...buttons),
    ),
  );
  document.body.append(asked);
  asked.showModal();
  return new Promise((resolve) => {
    asked.addEventListener('close', () => {
      asked.remove();
      resolve(asked.returnValue || undefined);
    });
  });
}
