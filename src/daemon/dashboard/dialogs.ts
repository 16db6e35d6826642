/** Questions before what cannot be undone. Escape is a no. */
import { formatBytes } from '../../core/units.js';
import type { JobView } from '../../service/job-service.js';
import { element, tick } from './dom.js';
import { count } from './words.js';

/** Undefined: it goes on. */
export async function askToCancel(job: JobView): Promise<{ readonly keepPartial: boolean } | undefined> {
  const { bytesDone } = job.progress;
  const keep = element('input', { type: 'checkbox', name: 'keep' });
  const copied = bytesDone > 0 ? `, ${formatBytes(bytesDone)},` : '';
  const yes = await ask(
    `Cancel ${job.name}?`,
    [
      element('p', {}, 'The job ends, and no target of it appears that is not there already.'),
      tick(
        'Keep what was copied',
        keep,
        `What was copied${copied} stays, and a later copy takes it up. If not, it goes.`,
      ),
    ],
    { yes: 'Cancel the job', no: 'Let it go on', dangerous: true },
  );
  return yes ? { keepPartial: keep.checked } : undefined;
}

export function askToComplete({ name, progress: { filesDone, filesTotal } }: JobView): Promise<boolean> {
  const left = filesTotal - filesDone;
  const text =
    `Of ${count(filesTotal, 'file')}, ${filesDone.toLocaleString('en')} are transferred. ` +
    `They get their names; the other ${left.toLocaleString('en')} are let go of, and the job ends.`;
  const answers = { yes: 'Complete now', no: 'Let it go on', dangerous: left > 0 };
  return ask(`Complete ${name} before it is transferred?`, [element('p', {}, text)], answers);
}

interface Answers {
  readonly yes: string;
  readonly no: string;
  readonly dangerous: boolean;
}

function ask(title: string, body: readonly HTMLElement[], { yes, no, dangerous }: Answers): Promise<boolean> {
  const heading = element('h2', { id: 'question' }, title);
  const asked = element(
    'dialog',
    { 'aria-labelledby': 'question' },
    element(
      'form',
      { method: 'dialog' },
      heading,
      ...body,
      element(
        'div',
        { class: 'answers' },
        element('button', { value: 'no', autofocus: true }, no),
        element('button', { value: 'yes', class: dangerous ? 'danger' : 'main' }, yes),
      ),
    ),
  );
  document.body.append(asked);
  asked.showModal();
  return new Promise((resolve) => {
    asked.addEventListener('close', () => {
      asked.remove();
      resolve(asked.returnValue === 'yes');
    });
  });
}
