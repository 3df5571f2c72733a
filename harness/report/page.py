"""Records as one self-contained HTML page: a summary, tables, figures, stages, and the commands that repeat the
runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from harness.experiment.record import read_record, whole_record
from harness.experiment.result import Result, from_record
from harness.experiment.waterfalls import waterfalls
from harness.measure.catalogue import Catalogue
from harness.measure.recovery import PHASES
from harness.measure.registry import catalogue
from harness.measure.waterfall.hops import Waterfall
from harness.model.errors import UserError
from harness.report import svg
from harness.report.figure_data import by_number
from harness.report.page_parts import figures, summary, sweep_figures
from harness.report.series import Steps, over_time
from harness.report.tables import families, sweep_rows
from harness.report.waterfall import headline, span

STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5d6b7c;--rule:#d9dfe6;--page:#fff;--panel:#f6f8fa;
--c0:#2563b0;--c1:#d1690e;--c2:#2b8a57;--c3:#b3356a;--c4:#6a51a8;--c5:#0f8f9c;--c6:#8a6d1f;--c7:#5c6773}
@media screen and (prefers-color-scheme:dark){
:root{--ink:#e4e9ef;--soft:#9aa7b5;--rule:#36404c;--page:#14191f;--panel:#1c232b;
--c0:#6ea8ee;--c1:#f2a25c;--c2:#63c793;--c3:#ec84af;--c4:#b4a0ea;--c5:#57ccd8;--c6:#d6b968;--c7:#a5b0bc}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:72rem;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2.2rem 0 .4rem}h3{font-size:.95rem;margin:1.2rem 0 .2rem}
p{margin:.3rem 0}.soft{color:var(--soft)}
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
th{white-space:normal;vertical-align:bottom}th:first-child,td:first-child{text-align:left;padding-left:0;white-space:pre}
pre{background:var(--panel);padding:.7rem 1rem;overflow-x:auto;border-radius:4px}
svg{width:100%;height:auto;display:block}svg:not(.figure) text{font:11px system-ui,sans-serif;fill:var(--soft)}
.end{text-anchor:end}.mid{text-anchor:middle}.grid{stroke:var(--rule);fill:none}
.line{fill:none;stroke-width:1.6}.key{margin-right:1.2em}.key::before{content:"";display:inline-block;width:1.1em;
height:.25em;margin-right:.4em;vertical-align:middle;background:currentColor;
print-color-adjust:exact;-webkit-print-color-adjust:exact}
svg.figure{font-family:system-ui,sans-serif;max-width:100%}figure{margin:1rem 0}figcaption{color:var(--soft)}
.summary{font-size:1.05rem;border-left:4px solid var(--c0);padding-left:.8rem;margin:1rem 0}
@media(max-width:40rem){body{margin:1rem auto;padding:0 .6rem}th,td{padding:.15rem .4rem}
th:first-child,td:first-child{position:sticky;left:0;background:var(--page);white-space:pre-wrap;min-width:6rem}
figure{overflow-x:auto}svg.figure{min-width:34rem}}
@media print{body{max-width:none;margin:0}figure,table,svg{break-inside:avoid}h2,h3,.legend,h2+p,h3+p{break-after:avoid}
.wide{overflow:visible}
table{font-size:.8rem}}
details{margin:1rem 0}details>summary{cursor:pointer;font-weight:600}
.bad{border-left:4px solid var(--c3);padding-left:.8rem}
""" + "".join(
    f".line.c{n}{{stroke:var(--c{n})}}.bar.c{n}{{fill:var(--c{n})}}.key.c{n}::before{{background:var(--c{n})}}"
    for n in range(svg.COLOURS)
)


OVER_SEEDS = (
    "Over several seeds: the mean, with its 95 % interval in brackets from six seeds on, else with the standard "
    "deviation (±). '>': a lower bound in some runs, of which there is no interval."
)

MOST_WATERFALLS = 12
"""Most waterfalls of one record on a page."""


@dataclass(frozen=True, slots=True, eq=False)
class ReportedRun:
    result: Result
    data: dict[str, Any]
    curves: dict[str, Steps]
    folder: Path
    falls: list[Waterfall] = field(default_factory=list)


def find(paths: Sequence[Path]) -> list[Path]:
    """The records at or below `paths`, in order. Raises UserError where there is none."""
    out: dict[Path, None] = {}
    for path in paths:
        if not path.exists():
            raise UserError("there is nothing here", file=path, expected="a folder that `podyard run` wrote")
        found = [path] if not path.is_dir() else sorted(item.parent for item in path.rglob("record.json"))
        if not found:
            raise UserError("there is no record in this folder", file=path, expected="record.json, at any depth")
        out.update((item, None) for item in found)
    return list(out)


def load(folder: Path) -> ReportedRun:
    """Raises UserError for what is damaged."""
    from workloads.readers.parquet import read_parquet

    data = read_record(folder)
    result = from_record(folder)
    path = folder / "pods.parquet"
    pods = read_parquet(path, expected="the pods of a record", hint="run the scenario again")
    with whole_record(folder):
        curves = over_time(pods, round(result.metrics.get("durationSeconds", 0) * 1e9))
    if "victims" not in data or not (folder / "journal.parquet").is_file():
        return ReportedRun(result, data, curves, folder)  # from an earlier version, or without its journal
    found = waterfalls(folder)
    return ReportedRun(result, data, curves, folder, [*found.recoveries, *found.scale_ups])


def page(records: Sequence[ReportedRun]) -> str:
    """HTML, self-contained. Records of several scenarios come one scenario after the other."""
    with whole_record(records[0].result.folder or Path()):
        return _page(records)


def _page(records: Sequence[ReportedRun]) -> str:
    by_scenario: dict[str, list[ReportedRun]] = {}
    for record in records:
        by_scenario.setdefault(record.result.scenario, []).append(record)
    parts = [part for name, group in by_scenario.items() for part in _scenario(name, group)]
    title = escape(", ".join(by_scenario))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _scenario(name: str, records: Sequence[ReportedRun]) -> list[str]:
    results = [record.result for record in records]
    first = records[0].data["scenario"]
    about = first.get("metadata", {}).get("description", "") if isinstance(first, dict) else ""
    out = [f"<h1>{escape(name)}</h1>", f'<p class="soft">{escape(about)}</p>']
    known = catalogue(_measures_asked(first))
    by_setting: dict[str, list[ReportedRun]] = {}
    for record in records:
        by_setting.setdefault(_setting(record.result), []).append(record)
    out += _wrong(results)
    if len(by_setting) > 1:
        settings = sorted(by_setting, key=by_number)
        out += _sweep({setting: by_setting[setting] for setting in settings}, known)
        records = by_setting[settings[0]]
        out.append(f"<h2>More of one setting: {escape(_setting(records[0].result))}</h2>")
        results = [record.result for record in records]
    else:
        out += _tables(results, known)
    out += _curves(records)
    out += figures(records)
    out += _recoveries(results)
    out += _waterfalls(records)
    out += _again(records)
    return out


def _setting(result: Result) -> str:
    return ", ".join(f"{name}={value}" for name, value in result.variables.items())


def _sweep(by_setting: dict[str, list[ReportedRun]], known: Catalogue) -> list[str]:
    """An overview with a row and a figure for everything, then the tables of each setting of the variables separately,
    as a mean over several settings says nothing."""
    records = [record for group in by_setting.values() for record in group]
    results = [record.result for record in records]
    strategies = len({result.scheduler for result in results})
    of = f"{len(by_setting)} settings of {', '.join(results[0].variables)}"
    told = f"{len(results)} runs: {of}, {strategies} {'strategy' if strategies == 1 else 'strategies'}."
    out = [f'<p class="summary">{escape(told)}</p>', f"<h2>Sweep</h2>{_table(*sweep_rows(results, known))}"]
    out.append(f'<p class="soft">{escape(OVER_SEEDS)}</p>')
    out += sweep_figures(records)
    for at, (setting, group) in enumerate(by_setting.items()):
        body = "".join(_tables([record.result for record in group], known))
        out.append(f"<details{'' if at else ' open'}><summary>{escape(setting)}</summary>{body}</details>")
    return out


def _tables(results: Sequence[Result], known: Catalogue) -> list[str]:
    """The results of runs with the same variables: a sentence, then a table for each family of measures."""
    out = summary(results)
    for title, columns, rows in families(results, known):
        out.append(f"<h2>{escape(title)}</h2>{_table(columns, rows)}")
    if len({result.seed for result in results}) > 1:
        out.append(f'<p class="soft">{escape(OVER_SEEDS)}</p>')
    return out


def _measures_asked(scenario: Any) -> list[str]:
    spec = scenario.get("spec", {}) if isinstance(scenario, dict) else {}
    return list(spec.get("measures", []))


def _wrong(results: Sequence[Result]) -> list[str]:
    told: list[str] = []
    for result in results:
        who = f"{result.scheduler}/{result.seed}"
        told += [f"{kind.capitalize().replace('api', 'API')}, {who}: {text}" for kind, text in result.wrong()]
        if result.violations:
            at, kind, pod, reason = result.violations[0]
            first = f"{at / 1e9:.3f} s {kind} {pod}: {reason}"
            told.append(f"Violations, {who}: {len(result.violations)} times; the first: {first}")
    return [f'<div class="bad">{"".join(f"<p>{escape(text)}</p>" for text in told)}</div>'] if told else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _curves(records: Sequence[ReportedRun]) -> list[str]:
    """One chart per quantity with one curve per strategy, of its first seed, as several would hide each other."""
    firsts: dict[str, ReportedRun] = {}
    for record in records:
        firsts.setdefault(record.result.scheduler, record)
    titles = list(dict.fromkeys(title for record in firsts.values() for title in record.curves))
    if not titles:
        return []
    seeds = sorted({record.result.seed for record in firsts.values()})
    note = f" (seed {', '.join(map(str, seeds))})" if len(records) > len(firsts) else ""
    out = [f"<h2>Over time{note}</h2>", svg.legend(list(firsts))]
    for title in titles:
        curves = [
            Steps(name, record.curves[title].x, record.curves[title].y)
            for name, record in firsts.items()
            if title in record.curves
        ]
        out.append(f"<h3>{escape(title)}</h3>{svg.chart(curves, title)}")
    return out


def _recoveries(results: Sequence[Result]) -> list[str]:
    rows = []
    for result in results:
        for fault in result.metrics.get("recovery", []):
            ends = [(phase, fault["phases"][phase]["last"]) for phase in PHASES if phase in fault["phases"]]
            if ends:
                targets = fault["targets"]
                more = f" +{len(targets) - 1}" if len(targets) > 1 else ""
                name = " ".join([fault["fault"], *targets[:1]]) + more
                rows.append((f"{name}, {result.scheduler}/{result.seed}", ends))
    if not rows:
        return []
    what = "Seconds from the fault until the last pod that it hit had come so far; the widest stage is the one to tune."
    return [f'<h2>Recovery by stage</h2><p class="soft">{what}</p>', svg.legend(PHASES), svg.stages(rows)]


def _waterfalls(records: Sequence[ReportedRun]) -> list[str]:
    """The hops of each recovery and scale-up, to scale, for the first seed of each strategy."""
    out: list[str] = []
    shown: set[str] = set()
    for record in records:
        who = record.result.scheduler
        if who in shown:
            continue
        shown.add(who)
        for fall in [fall for fall in record.falls if fall.hops][:MOST_WATERFALLS]:
            at = fall.start_ns
            hops = [
                (hop.name, span(hop.ns), (hop.start_ns - at) / 1e9, (hop.end_ns - at) / 1e9, hop.timer)
                for hop in fall.hops
            ]
            timer, ns = fall.dominant
            share = f"{100 * ns / fall.total_ns:.0f} % of it is {timer}" if timer and fall.total_ns else ""
            constant = fall.dominant_constant[0]
            more = f"; of Kubernetes' constants most is {constant}" if constant and constant != timer else ""
            out.append(f"<h3>{escape(f'{who}/{record.result.seed}, {headline(fall)}')}</h3>")
            out.append(f'<p class="soft">{escape(share + more)}</p>')
            out.append(svg.waterfall(hops, fall.total_ns / 1e9))
        left = len(record.falls) - MOST_WATERFALLS
        if left > 0:
            out.append(f'<p class="soft">{left} more: podyard explain {escape(str(record.result.folder))}</p>')
    what = "From what happened to the first request that the last pod was sent; hops add up to the total exactly."
    return [f'<h2>Waterfalls</h2><p class="soft">{what}</p>', *out] if out else []


def _again(records: Sequence[ReportedRun]) -> list[str]:
    rows = [
        (f"{r.result.scheduler}/{r.result.seed}", r.result.digest or "on the wall clock: not replayable")
        for r in records
    ]
    replays = "\n".join(f"podyard replay {shlex.quote(str(r.result.folder))}" for r in records if r.result.digest)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(records[0].result.versions.items()))
    out = ["<h2>Run it again</h2>", _table(("run", "digest of the journal"), rows)]
    if replays:
        out.append(f"<pre>{escape(replays)}</pre>")
    return [*out, f'<p class="soft">{escape(versions)}</p>']
