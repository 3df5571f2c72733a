"""podyard fault: breaks a live cluster on demand, tells what became of it, and takes it back."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer

from harness.cli.output import Form, Output, write
from harness.cli.remote import call, kubeconfig_of
from harness.model.errors import UserError, did_you_mean

PATH = "/apis/podyard.dev/v1/faults"

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

_VERBS = ("list", "undo")

_BY_SELECTION = {"node": "names", "zone": "zone", "app": "app", "count": "count"}
"""Options for the fields of `select`, which says whom to hit."""

LOOK_S = 0.5


def fault(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(help="A fault, as node-crash; list; undo NAME. Without: which faults there are.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Of the cluster; else KUBECONFIG, else podyard.kubeconfig.")
    ] = None,
    called: Annotated[str | None, typer.Option("--as", help="The fault's name; else one is made.")] = None,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait until it is over and its victims are back.")
    ] = None,
    output: Form = Output.table,
) -> None:
    """Break a live cluster: podyard fault node-crash --node node-1 --for 60s.

    A fault is an object of kind Fault (kubectl get faults): who may create faults may break the cluster. Further
    options are the fault's fields; --node, --zone, --app and --count say whom it hits, --for how long it lasts.
    """
    rest = list(context.args)
    match what:
        case None:
            _print_known()
        case "list":
            _no_more(rest)
            items = json.loads(call(kubeconfig_of(kubeconfig), "GET", PATH))["items"]
            _show(items, output)
        case "undo":
            if not rest:
                raise UserError("which fault?", expected="podyard fault undo NAME")
            for each in rest:
                _undo(kubeconfig_of(kubeconfig), each)
        case _:
            kind = camel(what)
            spec = spec_of(kind, rest)
            meta = {"name": called} if called else {"generateName": f"{what}-"}
            body = {"apiVersion": "podyard.dev/v1", "kind": "Fault", "metadata": meta, "spec": {kind: spec}}
            config = kubeconfig_of(kubeconfig)
            made = json.loads(call(config, "POST", PATH, body))["metadata"]["name"]
            print(f"fault {made} is on its way; podyard fault undo {made} ends it", file=sys.stderr)
            _show([_awaited(config, made, wait)], output)


# -- what is said -----------------------------------------------------------------------------------------------------


def camel(word: str) -> str:
    """nodeCrash of node-crash. Raises UserError for no fault."""
    from harness.faults.registry import FAULTS

    first, *others = word.split("-")
    name = first + "".join(part[:1].upper() + part[1:] for part in others)
    if name in FAULTS.names() or ":" in word:
        return word if ":" in word else name
    known = [*map(kebab, FAULTS.names()), *_VERBS]
    raise UserError(f"{word!r} is no fault", expected=", ".join(known), hint=did_you_mean(word, known))


def kebab(name: str) -> str:
    return "".join(f"-{mark.lower()}" if mark.isupper() else mark for mark in name)


def fields_of(kind: str) -> dict[str, Any]:
    """The fields of a fault by their names in a scenario."""
    import msgspec

    from harness.faults.registry import FAULTS

    return {field.encode_name.rstrip("_"): field for field in msgspec.structs.fields(FAULTS.load(kind))}


def spec_of(kind: str, words: list[str]) -> dict[str, Any]:
    """What the options say, as it stands in a scenario. Raises UserError."""
    import msgspec

    from harness.faults.registry import FAULTS
    from harness.faults.timeline import read_fault_on_demand

    known = fields_of(kind)
    spec: dict[str, Any] = {}
    for option, text in _pairs(words):
        field = camel_field(option)
        if field not in known and field == "for" and "downFor" in known:
            field = "downFor"
        if field in known:
            value = _value(text)
            if _takes_many(known[field].type) and not isinstance(value, list):
                spec.setdefault(field, []).append(value)  # one by one, as --node
            else:
                spec[field] = value
        elif option in _BY_SELECTION and "select" in known:
            chosen = spec.setdefault("select", {})
            if option == "node":
                chosen.setdefault("names", []).append(text)
            else:
                chosen[_BY_SELECTION[option]] = _value(text)
        else:
            raise _unknown(kind, option, known)
    try:
        data = msgspec.to_builtins(msgspec.convert(spec, FAULTS.load(kind), strict=False))
    except msgspec.ValidationError as error:
        raise UserError(f"{kebab(kind)}: {error}", expected=_usage(kind)) from None
    said = {key: value for key, value in data.items() if key.rstrip("_") in spec}
    read_fault_on_demand(kind, said, kebab(kind))
    return said


def camel_field(option: str) -> str:
    first, *others = option.split("-")
    return first + "".join(part.title() for part in others)


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    """(option, value): --option VALUE, --option=VALUE. Raises UserError."""
    out, left = [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            raise UserError("not an option", found=word, expected="--OPTION VALUE")
        option, equals, value = word[2:].partition("=")
        if not equals:
            if not left:
                raise UserError(f"--{option} has no value", expected=f"--{option} VALUE")
            value = left.pop(0)
        out.append((option, value))
    return out


def _takes_many(form: Any) -> bool:
    plain = get_args(form)[0] if get_origin(form) is Annotated else form
    return get_origin(plain) is list


def _value(text: str) -> Any:
    if text[:1] in "{[":
        try:
            return json.loads(text)
        except ValueError as error:
            raise UserError("no JSON", found=text, hint=str(error)) from None
    return text


def _unknown(kind: str, option: str, known: dict[str, Any]) -> UserError:
    names = [kebab(field) for field in known if field != "select"] + (list(_BY_SELECTION) if "select" in known else [])
    hint = did_you_mean(option, names)
    return UserError(f"{kebab(kind)} has no --{option}", expected=", ".join(f"--{name}" for name in names), hint=hint)


def _usage(kind: str) -> str:
    import msgspec

    out = []
    for name, field in fields_of(kind).items():
        if name == "select":
            out.append("[--node NAME | --zone ZONE | --app APP] [--count N]")
            continue
        option = f"--{kebab(name)} {name.upper()}"
        needed = field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT
        out.append(option if needed else f"[{option}]")
    return " ".join(out)


def _print_known() -> None:
    from harness.faults.registry import FAULTS

    for name in FAULTS.names():
        text = " ".join((FAULTS.load(name).__doc__ or "").split()).partition(". ")[0].rstrip(".")
        print(f"podyard fault {kebab(name)} {_usage(name)}\n    {text}.")


def _no_more(rest: list[str]) -> None:
    if rest:
        raise UserError("not understood", found=" ".join(rest), expected="podyard fault list")


# -- what becomes of it -----------------------------------------------------------------------------------------------


def _undo(config: Path, name: str) -> None:
    found = json.loads(call(config, "GET", f"{PATH}/{name}")).get("status", {})
    if found.get("phase") not in (None, "Active"):
        raise UserError(f"fault {name} does not last", found=found["phase"], hint="podyard fault list")
    call(config, "PATCH", f"{PATH}/{name}", {"spec": {"undo": True}}, "application/merge-patch+json")
    print(f"fault {name} is undone", file=sys.stderr)


def _awaited(config: Path, name: str, wait: float | None) -> dict[str, Any]:
    """The object when it has been injected; with `wait`, when it is over and its victims are back, at the latest after
    so many seconds. Raises UserError: refused."""
    deadline = time.monotonic() + (10.0 if wait is None else wait)
    while True:
        try:
            obj: dict[str, Any] = json.loads(call(config, "GET", f"{PATH}/{name}"))
        except UserError:
            if time.monotonic() > deadline:
                raise
            obj = {}  # a fault may be that nobody answers
        status = obj.get("status") or {}
        phase = status.get("phase")
        if phase == "Refused":
            raise UserError("the fault was refused", found=status.get("message"))
        recovery = status.get("recovery") or {}
        if phase and (wait is None or phase == "Missed" or (phase != "Active" and _is_over(status, recovery))):
            return obj
        if time.monotonic() > deadline and obj:
            return obj
        time.sleep(LOOK_S)


def _is_over(status: dict[str, Any], recovery: dict[str, Any]) -> bool:
    done, _, of = str(status.get("recovered", "")).partition("/")
    return bool(of) and done == of and bool(recovery)


def _show(items: list[dict[str, Any]], output: Output) -> None:
    if output is not Output.table:
        told = [
            {"name": item["metadata"]["name"], "spec": item["spec"], **(item.get("status") or {})} for item in items
        ]
        write(told, output)
        return
    if not items:
        print("no faults", file=sys.stderr)
        return
    rows = [("NAME", "FAULT", "PHASE", "TARGETS", "RECOVERED", "AFTER")]
    for item in items:
        status = item.get("status") or {}
        last = ((status.get("recovery") or {}).get("phases") or {}).get("running", {}).get("last")
        rows.append(
            (
                item["metadata"]["name"],
                status.get("fault", ""),
                status.get("phase", "Pending"),
                status.get("target", "") or status.get("message", ""),
                status.get("recovered", ""),
                "" if last is None else f"{last:.1f}s",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
