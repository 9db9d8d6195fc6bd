"""Owns the mutants of a source file: one small mistake each, made in the syntax tree of one function.

A mutant is a comparison or a condition turned round, a number off by one, operands or branches swapped, ``and`` for
``or``, a guard or a statement left out. Text, annotations, and what only shapes an error message are left alone.
Module-level tables are not mutated: a mutant replaces the code of one function in a running process.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType

Change = Callable[[ast.AST], ast.AST | None]

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
}  # fmt: skip

COMMUTATIVE = frozenset(
    ["addi", "muli", "andi", "ori", "xori", "maxsi", "minsi", "maxui", "minui", "addf", "mulf", "maximumf", "minimumf"]
    + ["gcd", "lcm", "both"]
)
"""What an exchange of operands leaves as it is: functions, and ops that are made by their name."""


@dataclass(frozen=True)
class Mutant:
    """One mistake: where it is, what it is, and the outermost function around it."""

    file: str
    function: str
    line: int
    column: int
    what: str
    site: int
    """The position of the mutated node in a walk over the tree."""
    choice: int
    """Which of the changes of that node."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


def mutants_of(file: str, source: str) -> list[Mutant]:
    """All mutants of a file, in the order of the text."""
    tree = ast.parse(source)
    functions = _functions(tree)
    found: list[Mutant] = []
    for site, node in enumerate(ast.walk(tree)):
        function = functions.get(node)
        if function is None:
            continue
        for choice, (what, _) in enumerate(_changes(node)):
            found.append(Mutant(file, function, node.lineno, node.col_offset, what, site, choice))  # type: ignore[attr-defined]
    return sorted(found, key=lambda m: (m.line, m.column, m.choice))


def mutated_code(mutant: Mutant, source: str, filename: str) -> CodeType:
    """The code object of the mutant's outermost function, as if the file had been written so."""
    tree = ast.parse(source)
    node = next(n for k, n in enumerate(ast.walk(tree)) if k == mutant.site)
    changed = list(_changes(node))[mutant.choice][1](copy.deepcopy(node))
    module = _Replace(node, changed).visit(tree)
    assert isinstance(module, ast.Module)
    return find_code(compile(ast.fix_missing_locations(module), filename, "exec"), mutant.function)


def find_code(code: CodeType, qualname: str) -> CodeType:
    """The code object called ``qualname`` inside ``code``."""
    for constant in code.co_consts:
        if not isinstance(constant, CodeType):
            continue
        if constant.co_qualname == qualname:
            return constant
        if qualname.startswith(f"{constant.co_qualname}."):
            return find_code(constant, qualname)
    raise LookupError(qualname)


def codes_in(code: CodeType) -> Iterator[CodeType]:
    """``code`` and the code of every function that it makes."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes_in(constant)


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST | None) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST | None:
        return self.new if node is self.old else self.generic_visit(node)


def _functions(tree: ast.Module) -> dict[ast.AST, str]:
    """The outermost function around each node that may be mutated."""
    found: dict[ast.AST, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef):
            _claim(statement, statement.name, found)
        if isinstance(statement, ast.ClassDef):
            for inner in statement.body:
                if isinstance(inner, ast.FunctionDef):
                    _claim(inner, f"{statement.name}.{inner.name}", found)
    return found


def _claim(function: ast.FunctionDef, name: str, found: dict[ast.AST, str]) -> None:
    for statement in function.body:
        for node in _alive(statement):
            found[node] = name


def _alive(node: ast.AST) -> Iterator[ast.AST]:
    """``node`` and what is below it, without messages of errors, assertions, annotations and formatted text.

    ``strict=True`` of a ``zip`` is an assertion. Nor is the number in ``regions[0]``, ``blocks[0]`` and ``results[0]``,
    of which there is one.
    """
    if isinstance(node, (ast.Raise, ast.Assert, ast.JoinedStr, ast.arg)) or _is_strict(node):
        return
    yield node
    if _is_first(node):
        yield from _alive(node.value)  # type: ignore[attr-defined]
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _alive(child)


def _is_strict(node: ast.AST) -> bool:
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _is_first(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == 0


def _is_the_only(node: ast.AST) -> bool:
    match node:
        case ast.Subscript(value=ast.Attribute(attr="regions" | "blocks" | "results")):
            return _is_first(node)
    return False


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be done wrong at ``node``, each with its name."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            yield f"{type(op).__name__} -> {COMPARISONS[type(op)].__name__}", _flip_comparison
        case ast.Constant(value=bool()):
            yield f"{node.value} -> {not node.value}", _flip_bool
        case ast.Subscript() if _is_first(node) and not _is_the_only(node):  # [-1] is the same where there is one
            yield "0 -> 1", lambda n: _subscript(n, 1)
        case ast.Constant(value=int() as value):
            yield f"{value} -> {value + 1}", lambda n: _number(n, 1)
            yield f"{value} -> {value - 1}", lambda n: _number(n, -1)
        case ast.BinOp(op=op) if type(op) in OPERATORS:
            yield f"{type(op).__name__} -> {OPERATORS[type(op)].__name__}", _flip_operator
            if isinstance(op, (ast.Sub, ast.FloorDiv, ast.Mod)):
                yield "operands swapped", _swap_operands
        case ast.BoolOp():
            yield "and <-> or", _flip_junction
        case ast.UnaryOp(op=ast.Not()) | ast.UnaryOp(op=ast.USub(), operand=ast.Name() | ast.Call()):
            yield "operator dropped", _operand_alone
        case ast.IfExp():
            yield "branches swapped", _swap_branches
        case ast.If(body=[ast.Return() | ast.Continue() | ast.Raise() | ast.Break()], orelse=[]):
            yield "guard removed", _pass_instead
            yield "guard turned round", _negate_test
        case ast.If() | ast.While():
            yield "condition turned round", _negate_test
        case ast.Call(args=[*_, left, right], keywords=[]) if _are_exchangeable(node, left, right):
            yield "last two arguments swapped", _swap_arguments
        case ast.Expr(value=ast.Call()) | ast.AugAssign():
            yield "statement dropped", _pass_instead
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "statement dropped", _pass_instead


def _are_exchangeable(call: ast.Call, left: ast.expr, right: ast.expr) -> bool:
    """Whether a swap of arguments of the same form is a likely mistake, and not one that Python itself refuses."""
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    if _is_commutative(call):
        return False
    builtin = name in ("isinstance", "getattr", "hasattr", "setattr", "zip", "range", "max", "min", "enumerate")
    alike = type(left) is type(right) and ast.dump(left) != ast.dump(right)
    return not builtin and alike and not isinstance(left, ast.Starred | ast.Constant)


def _is_commutative(call: ast.Call) -> bool:
    match call:
        case ast.Call(func=ast.IfExp(body=first, orelse=second)):
            return all(_is_commutative(ast.Call(one, call.args, [])) for one in (first, second))
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in COMMUTATIVE:
            return True
        case ast.Call(args=[ast.Constant(value=str() as name), _, _]):
            return name.rpartition(".")[2] in COMMUTATIVE
    return False


def _flip_comparison(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Compare)
    node.ops = [COMPARISONS[type(node.ops[0])]()]
    return node


def _flip_bool(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Constant)
    return ast.copy_location(ast.Constant(not node.value), node)


def _number(node: ast.AST, step: int) -> ast.AST:
    assert isinstance(node, ast.Constant) and isinstance(node.value, int)
    return ast.copy_location(ast.Constant(node.value + step), node)


def _subscript(node: ast.AST, at: int) -> ast.AST:
    assert isinstance(node, ast.Subscript)
    node.slice = ast.copy_location(ast.Constant(at), node.slice)
    return node


def _flip_operator(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BinOp)
    node.op = OPERATORS[type(node.op)]()
    return node


def _swap_operands(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BinOp)
    node.left, node.right = node.right, node.left
    return node


def _flip_junction(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.BoolOp)
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    return node


def _operand_alone(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.UnaryOp)
    return node.operand


def _swap_branches(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.IfExp)
    node.body, node.orelse = node.orelse, node.body
    return node


def _negate_test(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.If | ast.While)
    node.test = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node.test)
    return node


def _swap_arguments(node: ast.AST) -> ast.AST:
    assert isinstance(node, ast.Call)
    node.args[-2:] = node.args[:-3:-1]
    return node


def _pass_instead(node: ast.AST) -> ast.AST:
    return ast.copy_location(ast.Pass(), node)
