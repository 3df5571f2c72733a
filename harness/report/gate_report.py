"""Checks as a table, as JUnit XML for build servers, and as Markdown for a summary."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from harness.experiment.gate_checks import Check


def junit(checks: Sequence[Check]) -> str:
    """One suite per record, one case per gate. Source: the schema that Jenkins' JUnit plugin reads."""
    root = ET.Element("testsuites", name="podyard gate", tests=str(len(checks)), failures=str(_failures(checks)))
    by_record: dict[str, list[Check]] = {}
    for check in checks:
        by_record.setdefault(check.record, []).append(check)
    for record, mine in by_record.items():
        suite = ET.SubElement(root, "testsuite", name=record, tests=str(len(mine)), failures=str(_failures(mine)))
        for check in mine:
            case = ET.SubElement(suite, "testcase", classname=record, name=check.demand)
            if not check.ok:
                ET.SubElement(case, "failure", message=check.why).text = f"found {check.found}"
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def markdown(checks: Sequence[Check]) -> str:
    """GitHub-flavoured Markdown."""
    failed = _failures(checks)
    head = f"**podyard gate**: {len(checks) - failed} of {len(checks)} passed\n\n"
    rows = [
        f"| {'pass' if check.ok else '**FAIL**'} | "
        f"{_cell(check.record)} | {_cell(check.demand)} | {_cell(check.found)} | {_cell(check.why)} |"
        for check in sorted(checks, key=lambda check: check.ok)
    ]
    return head + "\n".join(["| | record | demand | found | why |", "|---|---|---|---|---|", *rows]) + "\n"


def _failures(checks: Sequence[Check]) -> int:
    return sum(not check.ok for check in checks)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
