/** How the page looks: one column, charts that are as wide as the page, tables that scroll on their own on a phone. */
import { STRIP_HEIGHT } from './strip.js';

/** CSS; the colours are those of the strips. */
export const PAGE_STYLE = `*{box-sizing:border-box}
html{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:1.25rem;max-width:72rem;
  background:var(--paper);color:var(--ink)}
h1{font-size:1.5rem;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.25rem 0 0}
p{margin:.25rem 0}
ul{padding-left:1.2rem;margin:.25rem 0}
.faint{color:var(--faint)}
.ok,.better{color:var(--good)}
.missed,.worse{color:var(--missed)}
.row{display:grid;grid-template-columns:21rem 1fr 11rem;gap:0 .75rem;align-items:center;
  border-bottom:1px solid var(--rule);padding:.15rem 0}
.row svg{width:100%;height:${STRIP_HEIGHT}px;display:block}
.value{text-align:right;font-variant-numeric:tabular-nums}
.axis{position:relative;height:1.4rem;font-size:.8rem}
.axis span{position:absolute;transform:translateX(-50%)}
.key svg{width:7rem;height:${STRIP_HEIGHT}px;vertical-align:middle}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--rule);white-space:nowrap}
th{color:var(--faint);font-weight:500}
@media(max-width:640px){
  body{padding:.9rem}
  .row{grid-template-columns:1fr auto}
  .row svg,.row .axis{grid-column:1/-1;grid-row:2}
  .row.last>span{display:none}
}`;
