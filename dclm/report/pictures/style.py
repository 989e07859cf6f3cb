"""The look of reports: one style sheet inside the page, and no scripts."""

from __future__ import annotations

import base64
import hashlib

from dclm.charts import scroll
from dclm.charts.palette import FONT, variables

STYLE = (
    variables()
    + scroll.STYLE
    + """
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 FONT; }
main, header, footer { max-width: 80rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { margin: 0; font-size: 1.7rem; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { margin: 0 0 .6rem; font-size: 1.1rem; }
h3 { margin: .2rem 0 .4rem; font-size: .95rem; }
.note, header p, footer { color: var(--soft); font-size: .9rem; }
.note { margin: .3rem 0; max-width: 62rem; }
.panel, .alarms { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 1rem;
  margin-bottom: 1.25rem; }
.alarms { background: var(--alarm); border-color: var(--cut); }
.alarms ul { margin: 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0 1.25rem; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .6rem 1rem;
  min-width: 9rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; border-bottom-width: 2px; }
th.text, td.text { text-align: left; }
td.wide { white-space: normal; min-width: 12rem; overflow-wrap: anywhere; }
td.wide small { display: block; color: var(--soft); font-size: .78rem; line-height: 1.3; }
td.bar { width: 14rem; min-width: 8rem; }
tbody tr:hover { background: color-mix(in srgb, var(--accent) 7%, transparent); }
figure { margin: 0; }
.grid > * { min-width: 0; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: 1.25rem; }
svg { width: 100%; height: auto; display: block; }
svg.row { height: 1rem; }
.kept { fill: var(--kept); } .cut { fill: var(--cut); } .other { fill: var(--other); } .reject { fill: var(--reject); }
svg text { fill: var(--soft); font-size: 11px; }
svg .axis { stroke: var(--line); }
svg .mark { stroke: var(--reject); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .line { stroke: var(--accent); stroke-width: 2; fill: none; }
svg .faint { stroke: var(--other); stroke-width: 1; stroke-dasharray: 2 3; }
svg.matrix text { fill: var(--ink); }
svg text.mark { stroke: none; fill: var(--reject); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: .3rem 0 .6rem; padding: 0; list-style: none;
  color: var(--soft); font-size: .9rem; }
.legend svg { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
details { border-top: 1px solid var(--line); padding: .45rem 0; }
summary { cursor: pointer; }
summary .note { margin-left: .5rem; }
.sample { margin: .5rem 0 .5rem 1rem; padding-left: .75rem; border-left: 3px solid var(--other); overflow: hidden; }
.sample p { margin: .1rem 0; max-height: 12em; overflow: hidden; overflow-wrap: anywhere; }
.sample .url { color: var(--accent); font-size: .85rem; }
.sample.good { border-color: var(--kept); }
footer { padding-bottom: 2rem; }
@media (max-width: 640px) {
  main, header, footer { padding: 0 .75rem; }
  header { padding-top: 1rem; }
  .panel, .alarms { padding: .75rem; }
  .tiles { gap: .5rem; } .tile { flex: 1 1 8rem; min-width: 0; padding: .5rem .7rem; }
  .sample { margin-left: 0; } svg.matrix { min-width: 36rem; }
  th, td { padding: .3rem .35rem; font-size: .88rem; }
  td.bar { min-width: 4rem; width: 5rem; } td.wide { min-width: 9rem; }
}
""".replace("FONT", FONT)
)
POLICY = (
    "default-src 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'; base-uri 'none'; form-action 'none'"
)
"""Content-Security-Policy of every report: this style sheet, and nothing else."""
