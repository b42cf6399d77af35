"""The style sheet of the page: for wide and narrow screens, light and dark, and paper."""

from __future__ import annotations

SHEET = """
:root { color-scheme: light dark; --paper: #fff; --soft: #f4f6f9; --line: #dfe5eb;
        --ink: #1b2733; --muted: #56636f; --blue: #2166ac; --orange: #b85c00; --red: #b2182b;
        --alarm: #fdf0ef; --right: 33 102 172; --wrong: 200 80 20; --strong: #fff; }
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #14191f; --soft: #1d242c; --line: #333d48; --ink: #e4e9ee; --muted: #a3afba;
          --blue: #7ab5ec; --orange: #f0a050; --red: #ff8d86; --alarm: #3a1f1f;
          --right: 47 116 190; --wrong: 176 84 34; }
  img.kernels { background: #fff; padding: .5rem; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.5rem 4rem; background: var(--paper);
       color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
       "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 .6rem; font-size: 1.25rem; line-height: 1.3; }
h3 { font-size: 1rem; }
section { margin-top: 2.6rem; padding-top: 1.4rem; border-top: 1px solid var(--line); }
p { margin: 0 0 .8rem; }
p.lead { margin: 1rem 0 .4rem; font-size: 1.15rem; line-height: 1.5; max-width: 52rem; }
p.lead strong { color: var(--blue); white-space: nowrap; }
.note { color: var(--muted); font-size: .9rem; max-width: 52rem; }
.warning, .remarks { margin: 1.2rem 0; padding: .8rem 1rem; border-left: .3rem solid var(--line);
                     background: var(--soft); overflow-wrap: anywhere; font-size: .95rem; }
.warning { border-color: var(--red); background: var(--alarm); }
.warning h2, .remarks h2 { font-size: 1rem; margin: 0 0 .3rem; }
.warning .scroll { margin: .5rem 0 0; }
.warning tbody th { min-width: 12rem; max-width: 22rem; overflow-wrap: anywhere; font-weight: 400; }
@media (max-width: 40rem) {
  table.skipped thead { display: none; }
  table.skipped th, table.skipped td { display: block; max-width: none; padding: .2rem 0; }
  table.skipped tbody th { border: 0; font-weight: 600; }
}
.warning tbody th, .warning td { border-color: var(--line); }
.warning ul, .remarks ul { margin: 0; padding-left: 1.2rem; }
nav { margin: 1rem 0; font-size: .9rem; }
nav a { margin-right: .9rem; display: inline-block; padding: .15rem 0; color: var(--blue); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.2rem, 1fr)); gap: .6rem;
     margin: 1.2rem 0; }
dl div { padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .4rem; min-width: 0; }
dt { color: var(--muted); font-size: .85rem; line-height: 1.3; }
dd { margin: .1rem 0 0; font-size: 1.25rem; font-weight: 600; line-height: 1.3;
     font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
dd small { display: block; font-size: .8rem; font-weight: 400; color: var(--muted); }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 13px; fill: var(--muted); font-family: inherit; }
.gauge { max-width: 29rem; margin: 1.2rem 0 .4rem; }
.gauge .track { stroke: var(--line); stroke-width: 8; stroke-linecap: round; }
.gauge .interval { stroke: var(--blue); stroke-width: 18; opacity: .3; }
.gauge .point { fill: var(--blue); stroke: var(--paper); stroke-width: 2; }
.gauge .reference { stroke: var(--ink); stroke-width: 2; }
.gauge text.value { fill: var(--blue); font-weight: 600; font-size: 15px; }
.gauge text.baseline { fill: var(--ink); }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr));
          gap: 1.6rem 2rem; }
.panels > div { min-width: 0; max-width: 34rem; }
.panels h3 { margin: 0; }
.legend { margin: 0 0 .4rem; font-size: .9rem; color: var(--muted); }
.legend span { margin-right: 1rem; white-space: nowrap; }
.legend span.long { white-space: normal; }
.legend .training { color: var(--blue); } .legend .validation { color: var(--orange); }
.chart .grid { stroke: var(--line); }
.chart .reference { stroke: var(--ink); stroke-dasharray: 5 4; stroke-width: 1.4; }
.chart .start { stroke: var(--muted); stroke-dasharray: 2 3; }
.chart .curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.chart .curve.training { stroke: var(--blue); } .chart .curve.validation { stroke: var(--orange); }
.chart .dot.training { fill: var(--blue); } .chart .dot.validation { fill: var(--orange); }
.chart .dot.faint { opacity: .55; }
.chart .ring { fill: none; stroke: var(--ink); stroke-width: 1.5; }
.scroll { overflow-x: auto; max-width: 100%; margin: 0 0 .8rem; }
table { border-collapse: collapse; font-size: .9rem; line-height: 1.35;
        font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top;
         border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
.number { text-align: right; white-space: nowrap; }
.classes tbody th { min-width: 7rem; max-width: 20rem; overflow-wrap: anywhere; }
.classes tbody th, .matrix tbody th, .matrix .corner { position: sticky; left: 0; z-index: 1;
                                        background: var(--paper); }
.settings { width: 100%; }
.settings tbody th { width: 11rem; min-width: 7rem; color: var(--muted); }
.settings td { overflow-wrap: anywhere; }
.matrix { border-collapse: separate; border-spacing: 1px; font-size: .75rem; line-height: 1; }
.matrix th, .matrix td { padding: 0; border: 0; }
.matrix td { width: 14px; min-width: 14px; height: 14px; background: var(--soft);
             text-align: center; vertical-align: middle; }
.matrix tbody th { text-align: right; vertical-align: middle; white-space: nowrap;
                   padding: 0 .4rem 0 0; font-weight: 400; }
.matrix tbody th .number { color: var(--muted); margin-right: .4rem; }
.matrix thead th { height: 1.9rem; vertical-align: bottom; text-align: center; font-weight: 400; }
.matrix thead th > * { writing-mode: vertical-rl; transform: rotate(180deg); white-space: nowrap;
                       text-orientation: sideways; margin: 0 auto; line-height: 14px; }
.matrix .corner { text-align: right; padding: 0 .4rem .2rem 0; }
.matrix .corner > span { writing-mode: horizontal-tb; transform: none; display: block; }
.matrix.counted td { min-width: 1.55rem; height: 1.75rem; padding: 0 2px; }
.matrix.counted thead th { padding: .2rem 0; }
.matrix td.right { background: rgb(var(--right) / var(--tint)); }
.matrix td.wrong { background: rgb(var(--wrong) / var(--tint)); }
.matrix td.strong { color: var(--strong); }
.swatch { display: inline-block; width: .8rem; height: .8rem; vertical-align: -.05rem; }
.swatch.right { background: rgb(var(--right)); } .swatch.wrong { background: rgb(var(--wrong)); }
@media (min-width: 52rem) {
  dl { grid-template-columns: repeat(4, 1fr); }
  .chart text { font-size: 11px; }
  .matrix.counted { font-size: .85rem; }
  .matrix.counted td { min-width: 2.1rem; height: 2.1rem; }
}
.confused { display: flex; flex-wrap: wrap; gap: .6rem 2.4rem; align-items: flex-start; }
.confused > .scroll { flex: 0 1 auto; min-width: 0; }
.confused > div:last-child { flex: 1 1 18rem; min-width: 0; }
ol.confusions { margin: 0 0 .6rem; padding-left: 1.6rem; }
ol.confusions li { margin-bottom: .15rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
img.pixels { image-rendering: pixelated; }
img.whole { width: min(100%, 44rem); border: 1px solid var(--line); }
.album { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.6rem, 1fr));
         gap: 1.2rem 1rem; }
.album figure { margin: 0; min-width: 0; break-inside: avoid; }
.album img { display: block; width: 100%; border-radius: .2rem; background: var(--soft); }
.layer-maps { display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; align-items: flex-start; }
.album.triple { grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); }
.album.triple figure { display: grid; grid-template-columns: repeat(3, 1fr); gap: .3rem; }
.album.triple figcaption { grid-column: 1 / -1; }
.legend .swatch { display: inline-block; width: .9rem; height: .9rem; margin: 0;
                  border: 1px solid var(--muted); vertical-align: -.1rem; }
.layer-maps > figure { flex: 0 0 9.6rem; margin: 0; }
.layer-maps > figure img { display: block; width: 100%; }
.layer-maps > div { flex: 1 1 20rem; min-width: 0; overflow-x: auto; }
.layer-maps img.kernels { min-width: 36rem; }
figcaption { margin-top: .3rem; font-size: .85rem; line-height: 1.35; overflow-wrap: anywhere; }
figcaption span { display: block; }
figcaption .mistake strong { color: var(--red); }
figcaption .path { color: var(--muted); font-size: .78rem; }
code, pre { font: .85rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono",
            monospace; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .8rem 1rem; margin: 0 0 .8rem; background: var(--soft);
      border-radius: .4rem; }
pre.command { white-space: pre-wrap; overflow-wrap: anywhere; }
footer { margin-top: 2.6rem; border-top: 1px solid var(--line); padding-top: 1rem; }
details { margin-top: 1rem; }
summary { cursor: pointer; font-weight: 600; padding: .2rem 0; }
@media (max-width: 32rem) {
  body { padding: 1.2rem 1rem 3rem; }
  h1 { font-size: 1.45rem; }
  p.lead { font-size: 1.05rem; }
  section { margin-top: 2rem; padding-top: 1.1rem; }
  th, td { padding-right: .7rem; }
  .classes tbody th { max-width: 9rem; }
  .settings tbody th { width: 7.5rem; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 11pt; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  nav { display: none; }
  .scroll { overflow: visible; }
  figure, dl div, .panels > div { break-inside: avoid; }
  h2, h3, p.note { break-after: avoid; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""
