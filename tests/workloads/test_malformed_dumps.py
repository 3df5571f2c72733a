"""Dumps as they go wrong on the way: each is told at once, in a few lines: where, what was found, what to try."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from harness.experiment.dump import dump_of
from harness.model.errors import UserError

POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: c\n    image: i\n"
NODE = 'apiVersion: v1\nkind: Node\nmetadata:\n  name: n\nstatus:\n  allocatable: {cpu: "4", memory: 8Gi, pods: "10"}\n'

CASES: list[tuple[str, str | bytes, int | None, str]] = [
    ("empty.yaml", "", None, "no objects"),
    ("comments.yaml", "# nothing\n---\n---\n", None, "no objects"),
    (
        "cut.json",
        '{"apiVersion":"v1","kind":"List","items":[\n{"kind":"Pod",\n"metadata":{"na',
        3,
        "was the file cut off",
    ),
    ("cut.yaml", NODE + '---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: "p', 11, "was the file cut off"),
    ("tab.yaml", "apiVersion: v1\nkind: Pod\nmetadata:\n\tname: p\n", 4, "indent with spaces"),
    (
        "table.txt",
        "NAME    READY   STATUS    RESTARTS   AGE\nweb-0   1/1     Running   0          3d\n",
        1,
        "a table of kubectl",
    ),
    (
        "wide.txt",
        "NAMESPACE   NAME    READY   STATUS    RESTARTS   AGE\nd  web-0   1/1     Running   0          3d\n",
        1,
        "a table of kubectl",
    ),
    (
        "forbidden.yaml",
        'Error from server (Forbidden): nodes is forbidden: User "jane" cannot list resource "nodes"\n',
        1,
        "an error of kubectl",
    ),
    ("nothing.txt", "No resources found in default namespace.\n", 1, "kubectl found no objects"),
    (
        "status.json",
        '{"kind":"Status","apiVersion":"v1","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}',
        1,
        "Unauthorized",
    ),
    ("login.html", "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", 1, "a web page"),
    ("noname.yaml", POD.replace("  name: p\n", "  labels: {a: b}\n"), 3, "no metadata.name"),
    ("nokind.yaml", POD.replace("kind: Pod\n", ""), 1, "kind is missing"),
    ("noversion.yaml", POD.replace("apiVersion: v1\n", ""), 1, "no apiVersion"),
    (
        "oldversion.yaml",
        "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: web}\nspec: {}\n",
        1,
        "kubectl convert",
    ),
    ("typo.yaml", POD.replace("containers", "contaniers"), 6, "did you mean 'containers'"),
    ("quantity.yaml", POD + "    resources: {requests: {cpu: 1 core}}\n", 9, "not a quantity"),
    ("quantity2.yaml", NODE.replace("8Gi", "8GB"), 6, "not a quantity"),
    ("labelnum.yaml", POD.replace("  name: p\n", "  name: p\n  labels: {v: 1}\n"), 5, "quotes around it"),
    ("twokeys.yaml", POD + "metadata: {name: q}\n", 9, "given twice"),
    ("helm.yaml", POD.replace("name: p", "name: {{ .Release.Name }}"), 4, "helm template"),
    (
        "notes.txt",
        "NAME: shop\nLAST DEPLOYED: Fri\nNAMESPACE: default\nSTATUS: deployed\nNOTES:\n1. Get the URL: run\n",
        1,
        "helm get manifest",
    ),
    ("list.yaml", "apiVersion: v1\nkind: List\nitems: 3\n", 3, "items is no list"),
    ("emptyobject.yaml", "apiVersion: v1\nkind: List\nitems: {}\n", 3, "items is no list"),
    ("typed.json", '{"apiVersion": "v1",\n"kind": "NodeList",\n"items": {"a": 1}}', 3, "items is no list"),
    ("item.yaml", "apiVersion: v1\nkind: List\nitems:\n- 3\n", 4, "not a Kubernetes object"),
    ("str.yaml", "just a text\n", 1, "just a text"),
    ("arr.json", "[1,2]", 1, "not a Kubernetes object"),
    (
        "describe.txt",
        "Name:         web-0\nNamespace:    d\nNode:         n/10.0.0.1\nLabels:  a=b\n",
        1,
        "kubectl describe",
    ),
    ("deep.json", "[" * 5000 + "]" * 5000, 1, "nested too deeply"),
    (
        "bomb.yaml",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"{c}: &{c} [{','.join('*' + p for _ in range(9))}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)
        ),
        6,
        "aliases",
    ),
    ("dup.yaml", POD + "---\n" + POD, 10, "given twice"),
    ("badname.yaml", POD.replace("name: p", "name: My_Pod"), 4, "RFC 1123"),
    ("merge.yaml", "<<<<<<< HEAD\n" + POD + "=======\n" + POD + ">>>>>>> other\n", 1, "a conflict of git"),
    ("ns.yaml", POD.replace("  name: p\n", "  name: p\n  namespace: [a]\n"), 5, "wrong type"),
    ("ports.yaml", POD + "    ports: [{containerPort: eighty}]\n", 9, "'eighty'"),
    (
        "jsonlines.jsonl",
        '{"apiVersion":"v1","kind":"Node","metadata":{"name":"n"}}\n{"apiVersion":"v1","kind":\n',
        3,
        "malformed JSON",
    ),
    ("go.txt", "map[apiVersion:v1 kind:Pod metadata:map[name:p]]\n", 1, "as Go prints it"),
    ("crlf_tabs.yaml", "apiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n\tname: p\r\n", 4, "indent with spaces"),
    ("nan.yaml", POD.replace("  name: p\n", "  name: p\n  generation: .nan\n"), 5, "no finite number"),
    ("bin.yaml", bytes(range(256)), 2, "no UTF-8 text"),
    ("cp1252.yaml", POD.replace("image: i", "image: i # gr\xfc\xdfe").encode("cp1252"), 8, "iconv -f windows-1252"),
    ("utf16cut.yaml", POD.encode("utf-16")[:-1], 1, "no whole UTF-16"),
    ("cut.gz", gzip.compress(POD.encode(), mtime=0)[:-8], None, "the compressed file is damaged"),
    ("tar.gz", gzip.compress(b"pod.yaml\0" * 100, mtime=0), 1, "'\\x00'"),
    ("zip.zip", b"PK\x03\x04" + b"\0" * 40, 1, "a zip archive"),
    # Parts of what was asked for, or other forms of it, that would pass for a whole dump.
    (
        "page.json",
        '{"kind":"PodList","apiVersion":"v1",\n"metadata":{"continue":"eyJ2Ijoi","remainingItemCount":500},\n"items":[]}',
        2,
        "500 more follow",
    ),
    ("pages.yaml", "kind: List\napiVersion: v1\nmetadata:\n  continue: abc\nitems: []\n", 4, "one page of a list"),
    ("table.json", '{"kind":"Table","apiVersion":"meta.k8s.io/v1","rows":[{"cells":["web-0"]}]}', 1, "is a table"),
    (
        "metadata.json",
        '{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","items":[{"metadata":{"name":"a"}}]}',
        1,
        "the metadata alone",
    ),
    ("null.json", '{"kind":"PodList","apiVersion":"v1","items":null}', None, "no objects"),
    ("watch.json", '{"type":"ADDED","object":{"kind":"Pod","metadata":{"name":"p"}}}', 1, "an event of a watch"),
    ("vault.yaml", "$ANSIBLE_VAULT;1.1;AES256\n3131313\n", 1, "not a Kubernetes object"),
    ("metrics.txt", "# TYPE kube_pod_info gauge\nkube_pod_info{pod='a'} 1\n", 2, "not a Kubernetes object"),
    ("values.yaml", "replicaCount: 1\nimage:\n  repository: nginx\n", 1, "kind is missing"),
    ("comment.json", '{\n// my pod\n"apiVersion":"v1","kind":"Pod"}', 2, "malformed JSON"),
    ("trailing.json", '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p",}}', 1, "malformed JSON"),
    ("quotes.json", "{'apiVersion':'v1','kind':'Pod'}x", 1, "double quotes"),
    ("variable.yaml", POD.replace("name: p", "name: ${NAME}"), 4, "RFC 1123"),
    ("anchor.yaml", POD.replace("image: i", "image: *x"), 8, "no anchor 'x'"),
    ("tag.yaml", POD.replace("image: i", "image: !!python/object/apply:os.system ['id']"), 8, "plain data"),
    ("negative.yaml", NODE.replace('"4"', '"-4"'), 6, "greater than or equal to 0"),
    ("infinite.yaml", NODE.replace('"4"', ".inf"), 6, "no finite number"),
    ("huge.yaml", NODE.replace('"4"', '"1e99"'), 6, "at most 2^63-1"),
    ("port.yaml", POD + "    ports: [{containerPort: 70000}]\n", 9, "between 1 and 65535"),
    ("map.yaml", POD.replace("  - name: c\n    image: i\n", "    c: {image: i}\n"), 6, "a list"),
    ("when.yaml", POD.replace("  name: p\n", "  name: p\n  creationTimestamp: yesterday\n"), 5, "RFC 3339"),
    ("behind.gz", gzip.compress(POD.encode(), mtime=0) + b"garbage", None, "the compressed file is damaged"),
    ("nul.yaml", POD.encode() + b"\0\0", 9, "'\\x00'"),
]


@pytest.mark.parametrize(("name", "text", "line", "words"), CASES, ids=[case[0] for case in CASES])
def test_it_is_told_where_and_what(tmp_path: Path, name: str, text: str | bytes, line: int | None, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    began = time.process_time()
    with pytest.raises(UserError) as told:
        dump_of([path])
    assert time.process_time() - began < 1
    error = told.value
    assert (error.file, error.line) == (str(path), line)
    assert words in str(error)
    assert len(str(error).splitlines()) <= 4
    assert (
        error.found is not None or error.expected is not None or error.hint is not None or "Invalid value" in error.what
    )


def test_warnings_of_kubectl_before_the_objects_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "warned.yaml"
    path.write_text(
        "Warning: v1 ComponentStatus is deprecated\nW1128 10:00:00.000000   12345 gcp.go:120] plugin\n" + POD
    )
    assert [obj.metadata.name for obj in dump_of([path]).added] == ["p"]
    path.write_text("Warning: v1 ComponentStatus is deprecated\n" + POD.replace("image", "imagge"))
    with pytest.raises(UserError) as told:
        dump_of([path])
    assert told.value.line == 9


def test_files_with_a_mark_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text("\ufeff" + POD + "---\n\ufeff" + POD.replace("name: p", "name: q"), encoding="utf-8")
    assert [obj.metadata.name for obj in dump_of([path]).added] == ["p", "q"]
