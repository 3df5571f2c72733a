"""What is dirty in a trace: every finding with its line, what was expected there, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from harness.model.errors import UserError

Action: TypeAlias = Literal["dropped", "clamped", "kept", "filled", "rounded", "renamed", "reordered"]
"""dropped: the row is left out. The other words say what became of the value; the row stays."""

EXAMPLES = 20
"""Findings kept in full a rule; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`error`: a run refuses the trace unless told to repair it; otherwise the finding is only reported."""

    name: str
    error: bool
    action: Action
    meaning: str


def _rules(*rules: Rule) -> Mapping[str, Rule]:
    return MappingProxyType({rule.name: rule for rule in rules})


RULES = _rules(
    # Errors: the row cannot be what was meant. Strict reading stops; with repair the row is left out.
    Rule("cut-off-line", True, "dropped", "the line has fewer fields than the header"),
    Rule("extra-fields", True, "dropped", "the line has more fields than the header"),
    Rule("bad-encoding", True, "dropped", "the line is not UTF-8 text"),
    Rule("not-readable", True, "dropped", "the record cannot be parsed"),
    Rule("missing-value", True, "dropped", "a field that must be there is empty"),
    Rule("not-a-number", True, "dropped", "a numeric field holds something else"),
    Rule("negative-value", True, "dropped", "a resource, count or time is below zero"),
    Rule("out-of-range", True, "dropped", "a number is larger than can be meant"),
    Rule("duplicate-name", True, "dropped", "a name appears again; the first one stays"),
    Rule("ends-before-start", True, "dropped", "it was deleted before it was created"),
    Rule("end-without-start", True, "dropped", "a deletion names something that was never created"),
    Rule("unknown-word", True, "dropped", "a field holds a word that the format does not define"),
    # Findings: the row makes sense, perhaps after a stated repair.
    Rule("blank-line", False, "dropped", "an empty line among the rows"),
    Rule("no-final-newline", False, "kept", "the file ends within a line; what is there may be cut off"),
    Rule("zero-request", False, "kept", "neither CPU nor memory nor GPU is asked for"),
    Rule("zero-memory", False, "kept", "no memory is asked for"),
    Rule("zero-duration", False, "kept", "it was created and deleted at the same instant"),
    Rule("value-rounded", False, "rounded", "a value is finer than the unit that is kept"),
    Rule("gpu-milli-missing", False, "filled", "GPUs are asked for with no share; whole devices are assumed"),
    Rule("gpu-milli-without-gpu", False, "clamped", "a share of no GPU; set to 0"),
    Rule("shared-multi-gpu", False, "kept", "several GPUs with a share of each"),
    Rule("repeated-model", False, "kept", "a GPU model is listed twice"),
    Rule("unknown-gpu-model", False, "kept", "no node has such a GPU; the pod can never be placed"),
    Rule("partial-execution", False, "dropped", "a part of a job that another line sums up"),
    Rule("larger-than-machine", False, "kept", "more processors than the log's header gives the machine"),
    Rule("larger-than-any-node", False, "kept", "no node is large enough; the pod can never be placed"),
    Rule("limit-differs", False, "kept", "the limit is not the request; the request counts"),
    Rule(
        "never-started", False, "kept", "never scheduled by the original cluster; it counts from creation to deletion"
    ),
    Rule("started-before-trace", False, "clamped", "it was there when the trace began; it arrives at 0"),
    Rule("still-there-at-end", False, "filled", "its end was not observed; it runs until deleted"),
    Rule("lifetime-cut", False, "kept", "it ran until the last instant of the trace; its true lifetime is longer"),
    Rule("duration-missing", False, "filled", "how long it ran is not recorded; another field stands in"),
    Rule("not-recorded", False, "filled", "the trace does not record this resource"),
    Rule("out-of-order", False, "reordered", "rows are not in order of arrival"),
    Rule("name-changed", False, "renamed", "the name is no Kubernetes name; other characters became dashes"),
    Rule("reservation-inside", False, "dropped", "it runs inside a reservation that is counted already"),
    Rule("constraint-dropped", False, "clamped", "a placement constraint is not carried over"),
    Rule("never-ran", False, "dropped", "it was cancelled before it ran and used nothing"),
    Rule("updated-request", False, "kept", "its request changed while it lived; the first one counts"),
    Rule("type-not-on-machine", False, "dropped", "this VM type does not run on the chosen machine type"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    line: int | None
    column: str | None
    found: str
    expected: str
    action: Action


@dataclass(frozen=True, slots=True)
class LintReport:
    """Of one input. `rows`: read; `kept`: that became pods or nodes. `counts`: (rule, how often), most severe first.

    `findings` holds the first EXAMPLES of each rule, by rule and line.
    """

    file: str
    format: str
    rows: int
    kept: int
    counts: tuple[tuple[str, int], ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> int:
        """Findings for which strict reading refuses the trace."""
        return sum(count for rule, count in self.counts if RULES[rule].error)

    @property
    def warnings(self) -> int:
        return sum(count for rule, count in self.counts if not RULES[rule].error)

    @property
    def left_out(self) -> str:
        """Of rows with errors, one line: how many, and where the first is."""
        wrong = [f"{count} {rule}" for rule, count in self.counts if count and RULES[rule].error]
        lines = [each.line for each in self.findings if RULES[each.rule].error and each.line is not None]
        where = f", the first on line {min(lines)}" if lines else ""
        return f"{Path(self.file).name}: rows are left out: {', '.join(wrong)}{where}"

    def count(self, rule: str) -> int:
        return dict(self.counts).get(rule, 0)


@dataclass(slots=True)
class Lint:
    """Collects findings while a file is read. With `strict`, the first error ends the reading."""

    file: str
    format: str = ""
    strict: bool = False
    rows: int = 0
    kept: int = 0
    _counts: dict[str, int] = field(default_factory=dict)
    _findings: dict[str, list[Finding]] = field(default_factory=dict)

    def note(
        self,
        rule: str,
        found: object,
        expected: str,
        *,
        line: int | None = None,
        column: str | None = None,
        count: int = 1,
    ) -> None:
        """`count` findings, shown by one example. Raises UserError in strict reading, when the rule is an error."""
        known = RULES[rule]
        if known.error and self.strict:
            raise self.refusal(known, found, expected, line, column)
        seen = self._counts.get(rule, 0)
        self._counts[rule] = seen + count
        examples = self._findings.setdefault(rule, [])
        if len(examples) < EXAMPLES:
            examples.append(Finding(rule, line, column, _short(found), expected, known.action))

    def note_all(
        self,
        rule: str,
        rows: Iterable[tuple[int | None, object]],
        count: int,
        expected: str,
        *,
        column: str | None = None,
    ) -> None:
        """`count` findings; `rows` gives (line, found) of the first ones."""
        if not count:
            return
        shown = 0
        for line, found in rows:
            self.note(rule, found, expected, line=line, column=column)
            shown += 1
        self._counts[rule] = self._counts.get(rule, 0) + count - shown

    def refusal(self, rule: Rule, found: object, expected: str, line: int | None, column: str | None) -> UserError:
        what = f"{column}: {rule.meaning}" if column else rule.meaning
        return UserError(
            f"{rule.name}: {what}",
            file=self.file,
            line=line,
            found=_short(found) or "nothing",
            expected=expected,
            hint="`podyard trace lint` lists every such line; `podyard trace convert --repair` leaves them out",
        )

    def report(self) -> LintReport:
        order = [name for name in RULES if name in self._counts]
        return LintReport(
            self.file,
            self.format,
            self.rows,
            self.kept,
            tuple((name, self._counts[name]) for name in order),
            tuple(
                finding
                for name in order
                for finding in sorted(self._findings[name], key=lambda item: (item.line is None, item.line or 0))
            ),
        )


def _short(found: object, most: int = 80) -> str:
    text = found if isinstance(found, str) else repr(found)
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return text if len(text) <= most else text[: most - 2] + ".."
