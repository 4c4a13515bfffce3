"""The style of the page: light and dark, narrow and wide, and on paper.

Every text has a contrast of at least 4.5 to 1 on its ground and every curve of 3 to 1, in both
schemes (tests/unit/report/test_contrast.py computes them).
"""

from __future__ import annotations

LIGHT = {
    "ground": "#ffffff",
    "card": "#f5f6f8",
    "ink": "#16191d",
    "soft": "#4b5560",
    "rule": "#c9ced6",
    "grid": "#dfe3e8",
    "good": "#11622f",
    "warn": "#8a4b00",
    "bad": "#a4161a",
    "c1": "#1f5fbf",
    "c2": "#b45309",
    "c3": "#15803d",
    "c4": "#7e3fbf",
    "c5": "#be185d",
    "c6": "#0f766e",
    "c7": "#64707d",
}
DARK = {
    "ground": "#14171c",
    "card": "#1d2229",
    "ink": "#e9ecf0",
    "soft": "#a9b3be",
    "rule": "#3b434d",
    "grid": "#2a3038",
    "good": "#7bd69a",
    "warn": "#f2b25a",
    "bad": "#ff9a94",
    "c1": "#7ab0ff",
    "c2": "#f2a65a",
    "c3": "#6fcf8a",
    "c4": "#c39bff",
    "c5": "#ff8fb8",
    "c6": "#5fd0c0",
    "c7": "#97a3b0",
}

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:16px/1.5 system-ui,-apple-system,
"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
main{max-width:76rem;margin:0 auto;padding:1.25rem 1rem 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.15rem;margin:2.25rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid
var(--rule)}
h3{font-size:1rem;margin:0}
p{margin:.25rem 0}
.soft,figcaption p,dt,th{color:var(--soft)}
.verdict{margin:1rem 0;padding:.9rem 1rem;background:var(--card);border-left:.4rem solid
var(--good);border-radius:.25rem}
.verdict.early{border-color:var(--soft)}
.verdict.low,.verdict.medium{border-color:var(--warn)}
.verdict.high{border-color:var(--bad)}
.verdict strong{font-size:1.15rem;display:block}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem;margin:1rem
0}
.facts div{background:var(--card);padding:.6rem .8rem;border-radius:.25rem}
.facts dt{font-size:.85rem}
.facts dd{margin:0;font-size:1.2rem;font-variant-numeric:tabular-nums}
.facts dd small{display:block;font-size:.8rem;color:var(--soft);text-wrap:balance}
dl.list{display:grid;grid-template-columns:minmax(6rem,max-content) 1fr;gap:.3rem 1rem;margin:0}
dl.list dd{margin:0}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:1.5rem
2rem}
.charts .chart:not(.small){grid-column:1/-1}
figure{margin:0;min-width:0;display:flex;flex-direction:column}
.plot{margin-top:auto}
figcaption p{font-size:.9rem;margin:0 0 .35rem}
.legend{display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;list-style:none;margin:.2rem 0
.5rem;padding:0;font-size:.85rem}
.legend li{display:flex;align-items:center;gap:.4rem;min-width:0}
.legend b,.number{border:1px solid var(--rule);padding:0 .25rem;border-radius:.15rem;
font-weight:600}
.key{width:24px;height:10px;flex:none}
.plot{display:grid;grid-template-columns:4.6rem 1fr;grid-template-rows:auto 1.5rem}
.field{position:relative;height:17rem;border-left:1px solid var(--rule);border-bottom:1px solid
var(--rule)}
.small .field{height:9rem}
.field svg{position:absolute;inset:0;width:100%;height:100%;display:block;overflow:hidden}
.ys,.xs{position:relative;font-size:.75rem;color:var(--soft);font-variant-numeric:tabular-nums}
.ys span{position:absolute;right:.4rem;transform:translateY(50%);white-space:nowrap;line-height:1}
.xs{grid-column:2}
.x{position:absolute;top:.35rem;transform:translateX(-50%);white-space:nowrap;line-height:1}
.x.first{transform:none}
.x.last{transform:translateX(-100%)}
path{fill:none;vector-effect:non-scaling-stroke}
.grid{stroke:var(--grid);stroke-width:1}
.line{stroke-width:2;stroke-linejoin:round}
.small .line{stroke-width:1.5}
.dash{stroke-width:2;stroke-dasharray:7 4}
.dots{stroke-width:5;stroke-linecap:round}
.limit{stroke:var(--bad);stroke-width:2}
.level{stroke:var(--warn);stroke-width:1;stroke-dasharray:2 3}
.moment{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 3}
.area{stroke:var(--ground);stroke-width:1;fill-opacity:.85}
.tag,.at,.number{position:absolute;font-size:.75rem;line-height:1.2;background:var(--ground);
padding:0 .25rem;white-space:nowrap;border-radius:.15rem}
.tag{left:.3rem;transform:translateY(-2px)}
.tag.below{transform:translateY(calc(100% + 3px))}
.at{bottom:.2rem;transform:translateX(.2rem);color:var(--soft)}
.at.before{transform:translateX(calc(-100% - .2rem))}
.number{right:.3rem;transform:translateY(50%)}
.scroll{overflow-x:auto}
.scroll:focus-visible,a:focus-visible{outline:2px solid var(--c1);outline-offset:2px}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.4rem .7rem .4rem 0;border-bottom:1px solid var(--rule);
vertical-align:top;overflow-wrap:break-word}
td:first-child,td:last-child{overflow-wrap:anywhere}
td:first-child{min-width:min(13rem,38vw)}
th{font-weight:600;font-size:.85rem;white-space:nowrap}
td.n,th.n{text-align:right;white-space:nowrap}
.bar{display:block;height:.5rem;width:6rem;max-width:100%;border:1px solid var(--soft);
border-radius:.2rem;margin-top:.25rem}
.bar i{display:block;height:100%;background:var(--c1)}
.warning b{color:var(--warn)}
.error b,.critical b{color:var(--bad)}
.chain{list-style:none;margin:.3rem 0;padding:0;
font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:.85rem}
.chain li+li::before{content:"\\2192\\00a0"}
.culprit{background:var(--card);padding:.7rem .9rem;border-radius:.25rem;margin:.6rem 0}
.drawing img{width:100%;max-width:26rem;display:block}
footer{margin-top:3rem;font-size:.85rem;color:var(--soft)}
@media(max-width:40rem){.spare{display:none}
.field{height:13rem}
dl.list{grid-template-columns:1fr;gap:0}
dl.list dd{margin-bottom:.4rem}
table.stack thead{display:none}
table.stack tr{display:block;padding:.45rem 0;border-bottom:1px solid var(--rule)}
table.stack td{display:block;border:0;padding:.05rem 0;text-align:left;white-space:normal}
table.stack td[data-of]::before{content:attr(data-of) ": ";color:var(--soft)}}
@media print{main{max-width:none;padding:0}
.chart,.culprit,.verdict,tr{break-inside:avoid}
h2{break-after:avoid}
.charts{grid-template-columns:1fr 1fr}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
.scroll{overflow:visible}}
"""


def stylesheet() -> str:
    """The style sheet: colours of both schemes, then the rules. Paper is always light."""
    colours = "".join(
        f".c{n}{{stroke:var(--c{n})}}.area.c{n}{{fill:var(--c{n});stroke:var(--ground)}}"
        for n in range(1, 8)
    )
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{_variables(LIGHT)}}}{dark}{_RULES}{colours}"


def _variables(scheme: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in scheme.items())
