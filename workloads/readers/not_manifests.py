"""Texts that people take for a dump and that are none: what each of them is, and how to get one."""

from __future__ import annotations

import re
from pathlib import PurePath

from harness.model.errors import UserError

_DUMP = "kubectl get nodes,pods,deployments,replicasets,daemonsets,statefulsets,jobs,services,pdb -A -o yaml"

_WRONG: tuple[tuple[str, str, str], ...] = (
    (r"(?:Error from server|error: |The connection to the server|Unable to connect)", "an error of kubectl", _DUMP),
    (r"No resources found", "kubectl found no objects", "another namespace, or -A for all of them"),
    (r"(?:NAMESPACE +)?NAME +[A-Z][A-Z-]", "a table of kubectl", f"with -o yaml: {_DUMP}"),
    (r"Name: {2,}\S+ *\n(?:[A-Z][\w ]*:.*\n)", "the text of kubectl describe", f"kubectl get, not describe: {_DUMP}"),
    (r"NAME: .*\nLAST DEPLOYED: ", "what helm says of a release", "helm get manifest RELEASE, or helm template CHART"),
    (r"NOTES:\n", "the notes of a chart", "helm get manifest RELEASE, or helm template CHART"),
    (r"(?i:<!doctype html|<html|<\?xml)", "a web page, as of a login", "curl -L with a token, or kubectl"),
    (r"map\[", "an object as Go prints it", f"with -o yaml: {_DUMP}"),
    (r"PK\x03\x04", "a zip archive", "unpack it, and give the folder"),
    (r"diff --git |--- a/|\+\+\+ b/", "a patch", "apply it, and give the files"),
)

_CONFLICT = re.compile(r"^(?:<{7}|>{7})(?: .*)?$", re.MULTILINE)

_WARNING = re.compile(r"(?:(?:Warning: [^\n]*|[WEI][0-9]{4} [0-9:.]+ +[0-9]+ [^\n]*)\r?\n)+")
"""Lines of kubectl's standard error (client-go's warnings, klog's form) that stand before its output."""


def checked_text(text: str, file: str | PurePath) -> str:
    """The text, without what kubectl told beside it, lines numbered as before. Raises UserError for what is no dump."""
    text = text.removeprefix("\ufeff")
    begin = text[:4096].lstrip()
    line = text[: len(text[:4096]) - len(begin)].count("\n") + 1
    for pattern, what, hint in _WRONG:
        if re.match(pattern, begin):
            raise UserError(
                f"this is {what}" if " found " not in what else what,
                file=file,
                line=line,
                found=begin.partition("\n")[0][:120],
                expected="Kubernetes objects in YAML or JSON",
                hint=hint,
            )
    if text[257:262] == "ustar":
        hint = "tar -xf FILE, and give the folder"
        raise UserError("this is a tar archive", file=file, found="ustar", expected="YAML or JSON", hint=hint)
    conflict = _CONFLICT.search(text)
    if conflict is not None:
        raise UserError(
            "a conflict of git was not resolved",
            file=file,
            line=text.count("\n", 0, conflict.start()) + 1,
            found=conflict[0][:60],
            expected="YAML or JSON",
            hint="git status lists the files in conflict",
        )
    warned = _WARNING.match(text)
    if warned is not None:
        text = "\n" * warned[0].count("\n") + text[warned.end() :]
    return text.replace("\n\ufeff", "\n")  # files with a mark each, one after another
