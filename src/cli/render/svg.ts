/** What all drawings share: colours that have a light and a dark form, text that is safe, and short coordinates. */

export const PALETTE_STYLE = `
svg { --ground: #ffffff; --ink: #1b1f24; --dim: #59636e; --rule: #d8dee4;
  --c0: #0b62c4; --c1: #b3470b; --c2: #197a3b; --c3: #7b3fc4; }
@media (prefers-color-scheme: dark) {
  svg { --ground: #12161c; --ink: #e6eaf0; --dim: #9aa5b1; --rule: #343c46;
    --c0: #6cb0ff; --c1: #ff9f5a; --c2: #5fd08a; --c3: #c29bff; } }
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.title { font-size: 20px; font-weight: 600; } .head { font-size: 15px; font-weight: 600; }
.dim { fill: var(--dim); } .rule { stroke: var(--rule); } .ground { fill: var(--ground); }
${[0, 1, 2, 3].map((n) => `.f${n} { fill: var(--c${n}); }`).join(' ')}
`;

export function svgText(x: number, y: number, content: string, name: string, anchor?: 'middle' | 'end'): string {
  const as = [name && ` class="${name}"`, anchor && ` text-anchor="${anchor}"`].filter(Boolean).join('');
  return `<text x="${rounded(x)}" y="${rounded(y)}"${as}>${escaped(content)}</text>`;
}

/** Coordinates need no more than a tenth of a pixel. */
export function rounded(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** XML has no way at all to write most control characters. */
export function escaped(content: string): string {
  return content.replace(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, '?').replace(/[<>&"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
