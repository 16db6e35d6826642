/** Messages above the page that stay until they are out of date, or put away. Problems interrupt a reader. */
import { button, element } from './dom.js';
import { sentence } from './words.js';

export type BannerKind = 'problem' | 'lost' | 'good';

export class Banners {
  readonly #place: HTMLElement;
  readonly #shown = new Map<BannerKind, HTMLElement>();

  constructor(place: HTMLElement) {
    this.#place = place;
  }

  /** In place of the one of its kind that is shown. */
  show(kind: BannerKind, message: string, hint?: string): void {
    this.hide(kind);
    const text = element('p', {}, element('strong', {}, sentence(message)), ' ', sentence(hint ?? ''));
    const made = element('div', { class: `banner ${kind}`, role: kind === 'problem' ? 'alert' : undefined }, text);
    const close = button('×', () => this.hide(kind), 'quiet');
    close.setAttribute('aria-label', 'Close this message');
    made.append(close);
    this.#shown.set(kind, made);
    this.#place.append(made);
  }

  hide(kind: BannerKind): void {
    this.#shown.get(kind)?.remove();
    this.#shown.delete(kind);
  }
}
