"""Small faults planted in source text: the mutants of a file, each one change that a test should notice."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    path: str
    """Relative to the top of the repository."""
    number: int
    """Among the mutants of its file."""
    function: str
    """Qualified name of the outermost function that holds it; empty for what runs when the module is imported."""
    first_line: int
    last_line: int
    """Lines at least one of which must run for a test to notice it."""
    what: str
    source: str

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What stays the same when lines above it come or go."""
        return self.path, self.function, self.source, self.what


Change = tuple[str, Callable[[], None]]


def mutants(path: str) -> list[Mutant]:
    """Of the file, in order of its text."""
    text = Path(path).read_text()
    lines = text.splitlines()
    return [
        Mutant(path, number, function, first, last, what, lines[line - 1].strip())
        for number, (function, line, first, last, (what, _)) in enumerate(_changes(ast.parse(text)))
    ]


def mutated(mutant: Mutant) -> ast.Module:
    """The file's syntax tree with the change made; lines stay what they are."""
    tree = ast.parse(Path(mutant.path).read_text())
    for number, (*_, (_, change)) in enumerate(_changes(tree)):
        if number == mutant.number:
            change()
            return ast.fix_missing_locations(tree)
    raise IndexError(f"{mutant.path} has no mutant {mutant.number}")


def _changes(tree: ast.Module) -> Iterator[tuple[str, int, int, int, Change]]:
    """(outermost function, line of the change, first and last line to run, change)."""
    yield from _of_body(tree.body, (), "")


def _of_body(
    body: list[ast.stmt], within: tuple[str, ...], function: str
) -> Iterator[tuple[str, int, int, int, Change]]:
    for index, statement in enumerate(body):
        if _is_no_behaviour(statement):
            continue
        first = statement.lineno
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            name = (*within, statement.name)
            inner = function
            if isinstance(statement, ast.FunctionDef):
                for default in (*statement.args.defaults, *filter(None, statement.args.kw_defaults)):
                    for change in _of_expression(default):
                        yield function, default.lineno, first, default.lineno, change
                inner = function or ".".join(name)
            yield from _of_body(statement.body, name, inner)
            continue
        if (removal := _removal(body, index)) is not None:
            yield function, first, first, statement.end_lineno or first, removal
        for expression in _expressions(statement):
            last = expression.end_lineno or first
            for node in ast.walk(expression):
                for change in _of_node(node):
                    yield function, getattr(node, "lineno", first), first, last, change
        if isinstance(statement, ast.If | ast.While):
            for change in _negation(statement, "test"):
                yield function, first, first, statement.test.end_lineno or first, change
        for block in ("body", "orelse", "finalbody"):
            yield from _of_body(getattr(statement, block, []), within, function)
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            if isinstance(part, ast.match_case) and part.guard is not None:
                for change in _of_expression(part.guard):
                    yield function, part.guard.lineno, part.guard.lineno, part.guard.end_lineno or first, change
            yield from _of_body(part.body, within, function)


def _is_no_behaviour(statement: ast.stmt) -> bool:
    """Docstrings, imports, assertions, what only a type checker reads, what another type of the same value would be."""
    match statement:
        case ast.Expr(ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Pass():
            return True
        case ast.If(ast.Name("TYPE_CHECKING")) | ast.Assign(value=ast.Call(ast.Name("TypeVar"))):
            return True
        case ast.ClassDef(bases=[*_, ast.Name("Protocol")]) | ast.Expr(ast.Call(ast.Name("assert_never"))):
            return True
    return False


def _removal(body: list[ast.stmt], index: int) -> Change | None:
    """Statements whose effect is all there is to them. A name that is not assigned would fail everywhere it is read."""
    statement = body[index]
    match statement:
        case ast.Expr(ast.Yield() | ast.YieldFrom() | ast.Call()) | ast.AugAssign() | ast.Delete():
            pass
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Continue() | ast.Break():
            pass
        case _:
            return None

    def remove() -> None:
        body[index] = ast.copy_location(ast.Pass(), statement)

    return f"removed: {_short(statement)}", remove


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """The statement's own, not those of its blocks; no annotations."""
    match statement:
        case ast.AnnAssign():
            nodes: list[ast.AST | None] = [statement.value]
        case ast.Assign() | ast.AugAssign() | ast.Return() | ast.Expr() | ast.Raise() | ast.Delete():
            nodes = list(ast.iter_child_nodes(statement))
        case ast.If() | ast.While():
            nodes = [statement.test]
        case ast.For():
            nodes = [statement.iter]
        case ast.With():
            nodes = [item.context_expr for item in statement.items]
        case ast.Match():
            nodes = [statement.subject]
        case _:
            nodes = []
    yield from (node for node in nodes if isinstance(node, ast.expr))
    if isinstance(statement, ast.Return) and not isinstance(statement.value, ast.Constant | None):
        yield _Returned(statement)
    if isinstance(statement, ast.AugAssign):
        yield _Augmented(statement)


class _Returned(ast.expr):
    """Stands for the whole value of a return statement among its expressions."""

    _fields = ()

    def __init__(self, statement: ast.Return) -> None:
        super().__init__(lineno=statement.lineno, end_lineno=statement.end_lineno)
        self.statement = statement


class _Augmented(ast.expr):
    """Stands for the operator of an augmented assignment."""

    _fields = ()

    def __init__(self, statement: ast.AugAssign) -> None:
        super().__init__(lineno=statement.lineno, end_lineno=statement.end_lineno)
        self.statement = statement


def _of_expression(expression: ast.expr) -> Iterator[Change]:
    for node in ast.walk(expression):
        yield from _of_node(node)


def _of_node(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=ops):
            for index, one in enumerate(ops):
                yield _swap(ops, index, one)
        case ast.BoolOp() | ast.BinOp():
            if type(node.op) in _SWAPS and not _is_union(node):
                yield _set(node, "op", _SWAPS[type(node.op)](), f"{_name(node.op)} -> {_name(_SWAPS[type(node.op)])}")
        case _Augmented():
            if type(node.statement.op) in _SWAPS:
                new = _SWAPS[type(node.statement.op)]
                yield _set(node.statement, "op", new(), f"{_name(node.statement.op)}= -> {_name(new)}=")
        case _Returned():
            yield _set(node.statement, "value", ast.Constant(None), "returns None")
        case ast.UnaryOp(ast.Not()):
            yield _set(node, "op", ast.UAdd(), "not x -> bool(x)", operand=_call("bool", node.operand))
        case ast.IfExp():
            yield from _negation(node, "test")
        case ast.comprehension(ifs=[test, *_]):
            ifs = node.ifs
            if not isinstance(test, ast.Compare):
                yield f"not: {_short(test)}", lambda: ifs.__setitem__(0, ast.UnaryOp(ast.Not(), test))
            yield f"without: if {_short(test)}", lambda: ifs.__delitem__(0)
        case ast.Constant(value=bool() as value):
            yield _set(node, "value", not value, f"{value} -> {not value}")
        case ast.Constant(value=int() | float() as number):
            yield _set(node, "value", number + 1, f"{number} -> {number + 1}")


def _is_union(node: ast.AST) -> bool:
    """Of types, as in isinstance(x, A | B)."""
    names = (part for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute))
    last = (part.id if isinstance(part, ast.Name) else part.attr for part in names)
    return isinstance(getattr(node, "op", None), ast.BitOr) and any(
        (name[0].isupper() and not name.isupper()) or name in ("int", "str", "float", "bool") for name in last
    )


def _swap(ops: list[ast.cmpop], index: int, op: ast.cmpop) -> Change:
    new = _SWAPS[type(op)]()
    assert isinstance(new, ast.cmpop)
    return f"{_name(op)} -> {_name(new)}", lambda: ops.__setitem__(index, new)


def _negation(node: ast.If | ast.While | ast.IfExp, name: str) -> Iterator[Change]:
    """Of a condition that no other mutant negates."""
    test = getattr(node, name)
    if not isinstance(test, ast.Compare) and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
        yield _set(node, name, ast.UnaryOp(ast.Not(), test), f"not: {_short(test)}")


def _set(node: ast.AST, name: str, value: object, what: str, **more: object) -> Change:
    def change() -> None:
        for key, new in {name: value, **more}.items():
            setattr(node, key, new)

    return what, change


def _call(name: str, argument: ast.expr) -> ast.expr:
    return ast.Call(ast.Name(name, ast.Load()), [argument], [])


def _name(op: ast.AST | type[ast.AST]) -> str:
    return op.__name__ if isinstance(op, type) else type(op).__name__


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
