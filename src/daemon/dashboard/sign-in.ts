/** Asks for a token, gives it to the service, and keeps nothing of it: the session is a cookie that no script sees. */
import { type Api, ApiError } from './api.js';
import { element, field, setText } from './dom.js';

/** Resolves when somebody is signed in. */
export function askForToken(api: Api, view: HTMLElement): Promise<void> {
  const token = element('input', { type: 'password', autocomplete: 'current-password', required: true });
  const wrong = element('p', { class: 'wrong', role: 'alert' });
  const form = element(
    'form',
    { class: 'card sign-in' },
    element('h1', { tabindex: -1 }, 'Sign in'),
    element(
      'p',
      { class: 'reason' },
      'This service asks for a token. One is made on its host with ',
      element('code', {}, 'blockferry serve token add'),
      '.',
    ),
    field('Token', token),
    wrong,
    element('p', {}, element('button', { type: 'submit', class: 'main' }, 'Sign in')),
  );
  view.replaceChildren(form);
  token.focus();
  return new Promise((resolve) => {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      setText(wrong, '');
      api.signIn(token.value.trim()).then(resolve, (thrown: unknown) => {
        if (!(thrown instanceof ApiError)) throw thrown;
        setText(wrong, thrown.status === 401 ? 'The service does not know this token.' : thrown.message);
        token.select();
      });
    });
  });
}

/** The token of an address such as `…/#token=bft_…`, which is taken out of the address and the history at once. */
export function tokenInAddress(): string | undefined {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (token === null) return undefined;
  history.replaceState(undefined, '', location.pathname);
  return token;
}
