"""One self-contained page: no other file and no network needed, light or dark as the reader has it, fit to print."""

import re
from base64 import b64encode
from collections.abc import Sequence
from html import escape

_STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1d1f21;--soft:#666;--rule:#ddd;--fill:#f5f5f3;--bad:#b3381a}
@media(prefers-color-scheme:dark){:root{--paper:#16181a;--ink:#e4e4e2;--soft:#a0a0a0;--rule:#3a3c3e;--fill:#1f2224;
--bad:#ff8f6b}}
body{margin:0 auto;max-width:1120px;padding:1.5rem;background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,sans-serif}
h1{font-size:1.7rem;margin:.2rem 0 .6rem}h2{font-size:1.2rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:0;overflow-wrap:anywhere}
a{color:inherit}.soft{color:var(--soft)}.bad{color:var(--bad)}.wide{overflow-x:auto}
table{border-collapse:separate;border-spacing:0;font-variant-numeric:tabular-nums;font-size:.9rem;line-height:1.25rem}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}
th:first-child,td:first-child,.words{white-space:normal;min-width:7rem}
.words{text-align:left}.words:not(:first-child){min-width:9rem}td small{color:var(--soft)}tr.main td{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.5rem 0}dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}details{margin:.4rem 0}
@media(max-width:600px){dl{display:block}dt{margin-top:.3rem}}
article{border-top:1px solid var(--rule);margin-top:1rem;padding:1rem 0;break-inside:avoid}
article header{display:flex;gap:1rem;align-items:baseline;flex-wrap:wrap}
.seen{display:flex;gap:1rem;flex-wrap:wrap;margin:.5rem 0}.seen figure{width:160px}
figure{margin:0}figcaption{color:var(--soft);font-size:.8rem}
img{display:block;background:#fff}.strip{width:100%;min-width:880px;height:auto}
.turn{width:160px;height:160px;object-fit:cover;object-position:0 0;animation:turn 6s steps(12,jump-none) infinite}
@keyframes turn{to{object-position:100% 0}}
.held .turn{animation:none;object-position:var(--at) 0}input[type=range]{width:160px}
svg.plot{display:block;margin:.8rem 0}
@media(prefers-reduced-motion:reduce){.turn{animation:none}}
@media print{@page{size:A4 landscape;margin:12mm}
:root{--paper:#fff;--ink:#000;--soft:#555;--rule:#ccc;--fill:#fff;--bad:#900}body{max-width:none;padding:0}
h2{break-after:avoid}.wide{overflow:visible}table{font-size:.6rem;line-height:1.3}
th,td{padding:.1rem .25rem;white-space:normal}th:first-child,td:first-child{min-width:4rem}
.turn{animation:none}.strip{min-width:0}.screen{display:none}svg.plot{max-width:100%;height:auto;break-inside:avoid}}
"""
_SCRIPT = """
function hold(slider){const shown=slider.closest('article');shown.classList.add('held');
shown.style.setProperty('--at',100*slider.value/slider.max+'%')}
function order(choice){const list=document.getElementById('objects'),[key,sign,failed]=choice.value.split(' ');
const unknown=one=>Object.keys(one.dataset).length?Infinity:failed*Infinity;
const value=one=>key in one.dataset?sign*one.dataset[key]:unknown(one);
[...list.children].sort((a,b)=>value(a)-value(b)).forEach(one=>list.append(one))}
"""


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML document. `title` is plain text; the parts are HTML."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style><script>{_SCRIPT}</script></head><body><h1>{escape(title)}</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def picture(webp: bytes, what: str, kind: str = "") -> str:
    """A picture within the page; `what` tells people who cannot see it what it shows."""
    data = b64encode(webp).decode()
    return f'<img class="{kind}" alt="{escape(what)}" loading="lazy" src="data:image/webp;base64,{data}">'


def facts_list(facts: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, as plain text."""
    return "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(what)}</dd>" for name, what in facts) + "</dl>"


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], main: str | None = None) -> str:
    """A table of cells that are HTML already. The row that starts with `main` stands out; words may wrap, numbers not.

    Without any title there is no head.
    """
    columns = zip(titles, *rows, strict=True)
    kinds = ["" if _numbers(cells) else " class=words" for _, *cells in columns]
    named = "".join(f"<th{kind}>{escape(title)}</th>" for title, kind in zip(titles, kinds, strict=True))
    head = f"<thead><tr>{named}</tr></thead>" if any(titles) else ""
    body = "".join(
        f"<tr{' class=main' if cells[0] == main else ''}>"
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(cells, kinds, strict=True))
        + "</tr>"
        for cells in rows
    )
    return wide(f"<table>{head}<tbody>{body}</tbody></table>")


def _numbers(cells: Sequence[str]) -> bool:
    """Whether every cell that is not empty starts with a number, tags aside."""
    said = [re.sub("<.*?>", "", cell).strip() for cell in cells]
    return all(re.match(r"[-+±]?[\d.]|-$|inf|nan", text) for text in said if text)


def wide(content: str) -> str:
    """Something that is moved sideways where the page is too narrow for it."""
    return f'<div class="wide">{content}</div>'


def from_markdown(text: str) -> str:
    """The few kinds of Markdown that the tables of evaluations use: headings, tables, lists, bold, paragraphs."""
    blocks = re.split(r"\n\s*\n", text.strip())
    return "\n".join(_block(block.strip().splitlines()) for block in blocks if block.strip())


def _block(lines: list[str]) -> str:
    if lines[0].startswith("## "):
        return f"<h2>{_inline(lines[0][3:])}</h2>"
    if lines[0].startswith("|"):
        titles, _, *rows = ([cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines)
        return table(titles, [[_inline(cell) for cell in row] for row in rows])
    if lines[0].startswith("- "):
        return "<ul>" + "".join(f"<li>{_inline(line[2:])}</li>" for line in lines) + "</ul>"
    return f"<p>{_inline(' '.join(lines))}</p>"


def _inline(text: str) -> str:
    marked = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", marked).replace("\\*", "*")
