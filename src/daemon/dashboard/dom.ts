/** Elements, made in one line. Text goes in as text and never as markup: no job's name can be more than a name. */

type Attribute = string | number | boolean | undefined | ((event: Event) => void);
export type Child = Node | string | undefined;

/** `onclick` and the like are functions; `true` is an attribute without a value, `false` and `undefined` are none. */
export function element<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, Attribute>> = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[Tag] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name.replace(/^on/, ''), value);
    else setAttribute(made, name, value);
  }
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

export function drawing<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: readonly Child[]
): SVGElementTagNameMap[Tag] {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children.filter((child) => child !== undefined));
  return made;
}

/** Touches the page only where something changes: for no change nothing is laid out anew, and nothing read aloud. */
export function setText(node: Node, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Makes these the children, in this order, and moves only what is elsewhere. */
export function setChildren(parent: HTMLElement, children: readonly Node[]): void {
  const wanted = new Set(children);
  for (const child of [...parent.childNodes]) if (!wanted.has(child)) child.remove();
  for (const [at, child] of children.entries()) {
    if (parent.childNodes[at] !== child) parent.insertBefore(child, parent.childNodes[at] ?? null);
  }
}

/** What has the focus keeps it through a change, also where it is moved; where it is gone, `instead` gets it. */
export function keepFocus(within: HTMLElement, instead: HTMLElement, change: () => void): void {
  const focused = document.activeElement;
  const had = focused instanceof HTMLElement && within.contains(focused);
  change();
  if (!had) return;
  if (document.activeElement !== focused) focused.focus({ preventScroll: true });
  if (document.activeElement !== focused || !focused.checkVisibility()) instead.focus({ preventScroll: true });
}

/** For what no dictionary knows: paths, names, rates. */
export function textInput(): HTMLInputElement {
  return element('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'off' });
}

let lastId = 0;

/** A label above its control. */
export function field(label: string, control: HTMLElement, hint?: string): HTMLElement {
  const named = nameOf(label, control);
  return element('div', { class: 'field' }, named, control, hintOf(control, hint));
}

/** A box to tick, with its label beside it. */
export function tick(label: string, box: HTMLInputElement, hint?: string): HTMLElement {
  const named = nameOf(label, box);
  return element('div', { class: 'tick' }, box, element('div', {}, named, hintOf(box, hint)));
}

function nameOf(label: string, control: HTMLElement): HTMLElement {
  control.id ||= `field-${++lastId}`;
  return element('label', { for: control.id }, label);
}

/** Read aloud after the name, and not as a part of it. */
function hintOf(control: HTMLElement, hint: string | undefined): HTMLElement | undefined {
  if (hint === undefined) return undefined;
  const id = `${control.id}-hint`;
  control.setAttribute('aria-describedby', id);
  return element('small', { id }, hint);
}

/** A button that does something, and cannot be pressed again while it is at it. */
export function button(label: string, does: () => Promise<unknown> | void, className = ''): HTMLButtonElement {
  const made = element('button', { type: 'button', class: className || undefined }, label);
  made.addEventListener('click', () => {
    if (made.getAttribute('aria-disabled') === 'true') return;
    const doing = does();
    if (doing === undefined) return;
    made.setAttribute('aria-disabled', 'true');
    void doing.finally(() => made.removeAttribute('aria-disabled'));
  });
  return made;
}
