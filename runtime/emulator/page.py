"""The report of ``tilewright emulate`` as one page of HTML that needs nothing else: no script, no font, no network."""

from __future__ import annotations

from html import escape
from pathlib import Path

from tilewright.runtime.emulator.counters import Table
from tilewright.runtime.emulator.presentation import Emulation, Observation, facts, source_text, summary

AROUND = 3
"""Lines of PTX shown before and after the one of a finding."""
LONGEST_LISTING = 50_000
STYLE = """
:root { color-scheme: light dark; --ink: #1d232b; --dim: #68727f; --paper: #fff; --panel: #f5f7f9; --line: #dde3e9;
  --error: #b42318; --warning: #8a5a00; --fine: #18794e; --hit: #fdebe9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --dim: #95a1af; --paper: #14181d; --panel: #1c2229;
  --line: #303944; --error: #ff8a80; --warning: #e8b64c; --fine: #6fcf97; --hit: #46211f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.5rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem; }
h1 + p { margin: .2rem 0 1rem; color: var(--dim); }
code, pre, td, .listing { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.chips span { display: inline-block; margin: 0 .4rem .4rem 0; padding: .1rem .6rem; border: 1px solid var(--line);
  border-radius: 1rem; background: var(--panel); font-size: 13px; } .chips b { font-weight: 600; }
.verdict { margin: 1rem 0; padding: .6rem 1rem; border-left: 4px solid; border-radius: 4px; background: var(--panel);
  font-weight: 600; }
.error { color: var(--error); } .warning { color: var(--warning); } .fine { color: var(--fine); }
article { margin: 0 0 1rem; border: 1px solid var(--line); border-radius: 6px; overflow: hidden; }
article header { padding: .6rem 1rem; background: var(--panel); } article p { margin: .2rem 0; }
article ul { margin: .5rem 0 .8rem; padding: 0 1rem 0 2.2rem; color: var(--dim); }
.scroll { overflow-x: auto; } .listing { white-space: pre; min-width: max-content; }
.listing div { padding: 0 1rem 0 0; } .listing i { display: inline-block; width: 4.5rem; padding-right: 1rem;
  text-align: right; color: var(--dim); font-style: normal; user-select: none; } .listing i + i { width: 6rem; }
.listing .here, .listing .never { background: var(--hit); } .listing div:target { outline: 1px solid; }
table { border-collapse: collapse; } th { text-align: left; font-weight: 600; font-size: 13px; color: var(--dim); }
th, td { padding: .15rem 1.5rem .15rem 0; border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; }
.tables { display: flex; flex-wrap: wrap; gap: 0 3rem; } .meter { height: .6rem; max-width: 24rem; border-radius: .3rem;
  background: var(--hit); overflow: hidden; } .meter div { height: 100%; background: var(--fine); }
details { margin-top: 1rem; } summary { cursor: pointer; font-weight: 600; } a { color: inherit; }
"""


def as_page(emulation: Emulation) -> str:
    """The whole page."""
    name = escape(Path(emulation.name).name)
    kernel = escape(emulation.settings["kernel"])
    chips = "".join(f"<span>{escape(k)} <b>{escape(v)}</b></span>" for k, v in emulation.settings.items())
    verdict = f"<div class='verdict {_verdict(emulation)}'>{escape(summary(emulation))}</div>"
    tables = "".join(_table(table) for table in emulation.report.counters.tables())
    findings = "".join(_finding(emulation, seen) for seen in emulation.observations)
    return (
        f"<!doctype html>\n<html lang='en'>\n<meta charset='utf-8'>\n"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>\n<title>{kernel} in {name}</title>\n"
        f"<style>{STYLE}</style>\n<h1>{kernel}</h1>\n<p>{name}, run by the PTX emulator of Tilewright</p>\n"
        f"<div class='chips'>{chips}</div>\n{verdict}\n"
        f"{'<h2>Findings</h2>' if findings else ''}\n{findings}\n"
        f"<div class='tables'>{tables}</div>\n{_coverage(emulation)}\n{_listing(emulation)}\n</html>\n"
    )


def _verdict(emulation: Emulation) -> str:
    severities = {seen.finding.severity for seen in emulation.observations}
    return "error" if "error" in severities else "warning" if severities else "fine"


def _finding(emulation: Emulation, observation: Observation) -> str:
    finding = observation.finding
    source = ""
    if finding.source_line:
        text = source_text(emulation, finding.source_line)
        source = f"<p><code>{escape(finding.source_line)}{': ' + escape(text) if text else ''}</code></p>"
    items = "".join(f"<li>{escape(fact)}</li>" for fact in facts(emulation, observation))
    title = f"<b class='{finding.severity}'>{finding.severity}: {escape(finding.kind)}</b>"
    return (
        f"<article><header>{title}<p>{escape(finding.message)}</p>{source}</header>"
        f"{_excerpt(emulation, finding.ptx_line)}<ul>{items}</ul></article>\n"
    )


def _excerpt(emulation: Emulation, line: int) -> str:
    if not line:
        return ""
    lines = emulation.lines
    rows = []
    for number in range(max(line - AROUND, 1), min(line + AROUND, len(lines)) + 1):
        mark = " class='here'" if number == line else ""
        link = f"<a href='#L{number}'>{number}</a>"
        rows.append(f"<div{mark}><i>{link}</i>{escape(lines[number - 1].expandtabs(4))}</div>")
    return f"<div class='scroll'><div class='listing'>{''.join(rows)}</div></div>"


def _table(table: Table) -> str:
    right = ["" if isinstance(value, str) else " class='n'" for value in table.rows[0]]
    head = "".join(f"<th{side}>{escape(name)}</th>" for name, side in zip(table.header, right, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in zip(row, right, strict=True)) + "</tr>"
        for row in table.cells()
    )
    return f"<section><h2>{escape(table.title.capitalize())}</h2><table><tr>{head}</tr>{body}</table></section>"


def _coverage(emulation: Emulation) -> str:
    coverage = emulation.report.coverage
    links = ", ".join(f"<a href='#L{line}'>{line}</a>" for line in coverage.missed_lines)
    missed = f"<p>Blocks that did not run start at PTX line {links}.</p>" if links else ""
    return (
        f"<h2>Coverage</h2><p>{coverage.executed} of {coverage.total} blocks ran.</p>"
        f"<div class='meter'><div style='width:{100 * coverage.share:.1f}%'></div></div>{missed}"
    )


def _listing(emulation: Emulation) -> str:
    """The PTX with its line numbers and how many threads executed each line."""
    lines = emulation.lines
    if len(lines) > LONGEST_LISTING:
        return f"<p>The PTX has {len(lines):,} lines and is not shown.</p>"
    counts = emulation.report.counters.lines
    rows = []
    for number, text in enumerate(lines, 1):
        count = counts.get(number)
        mark = " class='never'" if count == 0 else ""
        shown = "" if count is None else f"{count:,}"
        rows.append(f"<div{mark} id='L{number}'><i>{number}</i><i>{shown}</i>{escape(text.expandtabs(4))}</div>")
    body = f"<div class='scroll'><div class='listing'>{''.join(rows)}</div></div>"
    return f"<details open><summary>PTX, with the threads that executed each line</summary>{body}</details>"
