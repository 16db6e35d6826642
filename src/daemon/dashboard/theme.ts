/** The colours of the style sheet, for what is drawn on a canvas and so does not follow it by itself. */

export function themeColour(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}

/** Light became dark, or the other way round; until the signal aborts. */
export function onThemeChange(does: () => void, signal: AbortSignal): void {
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', does, { signal });
}
