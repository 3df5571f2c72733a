"""What `kubectl get` prints of a custom resource: additionalPrinterColumns, whose values simple JSON paths name.

Source: apiextensions-apiserver pkg/registry/customresource/tableconvertor;
kubernetes.io/docs/reference/kubectl/jsonpath.
"""

from __future__ import annotations

import json
import re
from typing import Any

from harness.apiserver.kinds.rules import Table
from harness.apiserver.registry.table_cells import Moment, created, name_of
from harness.model.wire import Json

_STEP = re.compile(
    r"""\.?(?:
        (?P<field>[A-Za-z_$][\w\-/$]*)
      | \[(?P<quoted>'[^']*'|"[^"]*")\]
      | \[(?P<index>-?\d+)\]
      | (?P<all>\[\*\]|\*)
      | \[\?\(\s*@\.(?P<key>[\w.\-/]+)\s*(?P<op>==|!=)\s*(?P<value>'[^']*'|"[^"]*"|[\w.\-]+)\s*\)\]
    )""",
    re.VERBOSE,
)

Step = tuple[str, Any]


def parsed(path: str) -> list[Step] | None:
    """The steps of a path as .status.conditions[?(@.type=="Ready")].status; None for one that is not understood."""
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    out: list[Step] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None or match.end() == at:
            return None
        if match["field"] is not None:
            out.append(("field", match["field"]))
        elif match["quoted"] is not None:
            out.append(("field", match["quoted"][1:-1]))
        elif match["index"] is not None:
            out.append(("index", int(match["index"])))
        elif match["all"] is not None:
            out.append(("all", None))
        else:
            value = match["value"].strip("'\"")
            out.append(("where", (match["key"].split("."), match["op"] == "==", value)))
        at = match.end()
    return out


def found(value: Any, steps: list[Step]) -> list[Any]:
    """All values at a path."""
    held = [value]
    for kind, what in steps:
        below: list[Any] = []
        for item in held:
            if (kind == "field" and isinstance(item, dict) and what in item) or (
                kind == "index" and isinstance(item, list) and -len(item) <= what < len(item)
            ):
                below.append(item[what])
            elif kind == "all" and isinstance(item, (list, dict)):
                below += item.values() if isinstance(item, dict) else item
            elif kind == "where" and isinstance(item, list):
                names, equal, wanted = what
                below += [one for one in item if (_text(_at(one, names)) == wanted) is equal]
        held = below
    return held


def _at(value: Any, names: list[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def table(columns: list[Json]) -> Table:
    """Name and the given columns; name and age where there are none."""
    if not columns:
        return Table(("Name", "Age"), lambda obj, moment: [name_of(obj), moment.age(created(obj))])
    steps = [(item, parsed(str(item.get("jsonPath", ""))) or []) for item in columns]
    names = tuple(f"{item['name']}*" if item.get("priority") else str(item["name"]) for item in columns)

    def cells(obj: Json, moment: Moment) -> list[Any]:
        return [name_of(obj), *(_cell(found(obj, path), item.get("type", "string"), moment) for item, path in steps)]

    return Table(("Name", *names), cells)


def _cell(values: list[Any], kind: str, moment: Moment) -> Any:
    if not values or values[0] is None:
        return None
    first = values[0]
    match kind:
        case "date":
            try:
                return moment.age(str(first))
            except (ValueError, TypeError):
                return "<invalid>"
        case "integer" | "number":
            return first if isinstance(first, (int, float)) and not isinstance(first, bool) else None
        case "boolean":
            return first if isinstance(first, bool) else None
        case _:
            return ",".join(map(_text, values))
