"""Owns turning an expanded expression of the tree into a typed one: names, operations, conditions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check import calls, reads, reductions
from tilewright.compiler.language.check.context import Context, Scope
from tilewright.compiler.language.check.dtypes import ERROR, WEAK, convert, is_float, is_integer, named, poison, widened
from tilewright.compiler.language.check.extents import Ballot
from tilewright.compiler.language.check.problems import note, replaced
from tilewright.compiler.language.check.vocabulary import FUNCTIONS, INDEXED, NOT_IN_THE_LANGUAGE, suggestion
from tilewright.compiler.language.expand import POISON
from tilewright.compiler.language.span import Span

_CONSTANTS: dict[str, tuple[str, bool | float]] = {
    "inf": (WEAK, float("inf")),
    "nan": (WEAK, float("nan")),
    "pi": (WEAK, 3.141592653589793),
    "true": ("bool", True),
    "false": ("bool", False),
}


class Lowering:
    """Lowers expressions in the state of ``context``."""

    def __init__(self, context: Context, macros: frozenset[str]) -> None:
        self.context = context
        self.macros = macros
        self.arithmetic = context.arithmetic
        self.ballot = Ballot()
        self.unbound: set[tuple[int, str]] = set()

    # ------------------------------------------------------------ the ways in

    def value(self, expr: tree.Expr, scope: Scope) -> typed.Expr:
        """``expr`` in the dtype of its arithmetic."""
        match expr:
            case tree.Number(value=value):
                return typed.Literal(expr.span, WEAK if isinstance(value, float) else typed.INDEX, value)
            case tree.Name():
                return self._name(expr, scope)
            case tree.Read():
                return reads.read(self, expr, scope)
            case tree.Guarded():
                return reads.guarded(self, expr, scope)
            case tree.Unary(op=op, operand=operand):
                inner = replace(scope, as_index=False) if op == "not" else scope
                return self.arithmetic.unary(op, self.value(operand, inner), expr.span)
            case tree.Binary():
                return self._binary(expr, scope)
            case tree.Compare():
                return self._comparisons(expr, replace(scope, as_index=False))
            case tree.IfElse():
                return self._select(expr, scope)
            case tree.Call():
                return calls.call(self, expr, scope)
            case tree.Reduce():
                return self._indexed(reductions.reduction(self, expr, scope), scope)
        raise AssertionError(f"no such expression: {expr}")

    def index(self, expr: tree.Expr, scope: Scope) -> typed.Expr:
        """``expr`` as an exact integer: in subscripts, extents and bounds."""
        result = self.value(expr, replace(scope, as_index=True))
        if result.dtype in (typed.INDEX, ERROR):
            return result
        if is_integer(result.dtype):
            return convert(result, typed.INDEX)
        notes = note(None, "write `i32(…)` to truncate, or `i32(floor(…))`") if is_float(result.dtype) else ()
        message = "an integer is needed here"
        found = named(result.dtype)
        return self.arithmetic.refuse("TW0403", expr.span, message, expected="an integer", found=found, notes=notes)

    def condition(self, expr: tree.Expr, scope: Scope) -> typed.Expr:
        return self.arithmetic.condition(self.value(expr, replace(scope, as_index=False)))

    def _indexed(self, expr: typed.Expr, scope: Scope) -> typed.Expr:
        """In index arithmetic, an integer from memory is an index."""
        if scope.as_index and is_integer(expr.dtype):
            return convert(expr, typed.INDEX)
        return expr

    # ------------------------------------------------------------ names

    def _name(self, expr: tree.Name, scope: Scope) -> typed.Expr:
        name, span, context = expr.id, expr.span, self.context
        if name == POISON:
            return poison(span)
        if name in scope.indices:
            return typed.Index(span, typed.INDEX, scope.indices[name])
        if name in context.dims:
            return typed.Dim(span, typed.INDEX, name)
        if name in context.consts:
            return self._const(name, span)
        if name in context.scalars:
            scalar = widened(typed.Scalar(span, context.scalars[name], name))
            return self._indexed(scalar, scope)
        if name in context.aliases:
            return replace(context.aliases[name], span=span)
        if name in context.shaped:
            return reads.whole(self, expr, scope)
        if name in _CONSTANTS:
            dtype, value = _CONSTANTS[name]
            return typed.Literal(span, dtype, value)
        return self._unknown(expr)

    def _const(self, name: str, span: Span) -> typed.Expr:
        value = self.context.consts[name]
        dtype = "bool" if isinstance(value, bool) else typed.INDEX if isinstance(value, int) else WEAK
        return typed.Literal(span, dtype, value)

    def _unknown(self, expr: tree.Name) -> typed.Expr:
        name, context = expr.id.split("@")[0], self.context
        if name in context.types or name in typed.DTYPES:
            message = f"`{name}` is a type; a value is needed here"
            return self.arithmetic.refuse("TW0301", expr.span, message, expected="a value", found="a type")
        if name in FUNCTIONS or name in INDEXED:
            form = f"{name}[k](…)" if name in INDEXED else f"{name}(…)"
            message = f"`{name}` is a function: call it, `{form}`"
            return self.arithmetic.refuse("TW0212", expr.span, message, expected="a value", found="a function")
        if self._comes_later(name):
            return poison(expr.span)
        meant = suggestion(name, {known for names in self._names() for known in names})
        if len(name) <= 2 and name.islower():
            return self._unbound(expr, name)
        fix = replaced(expr.span, meant) if meant else None
        return self.arithmetic.refuse("TW0201", expr.span, f"nothing is called `{name}` here", fix=fix)

    def _unbound(self, expr: tree.Name, name: str) -> typed.Expr:
        if (self.context.statement, expr.id) in self.unbound:
            return poison(expr.span)
        self.unbound.add((self.context.statement, expr.id))
        message = f"index `{name}` is neither on the left nor bound by a reduction"
        notes = note(None, f"there is no implicit sum: write `sum[{name}](…)`, or put `{name}` on the left")
        return self.arithmetic.refuse("TW0404", expr.span, message, notes=notes)

    def unknown_tensor(self, name: tree.Name) -> None:
        """Reports a read of a name that no tensor or statement has."""
        if self._comes_later(name.id):
            return
        meant = suggestion(name.id, set(self.context.shaped))
        fix = replaced(name.span, meant) if meant else None
        self.arithmetic.refuse("TW0201", name.span, f"no tensor is called `{name.id}` here", fix=fix)

    def _comes_later(self, name: str) -> bool:
        """Whether a later statement defines the name: then the checks of order have reported the read."""
        return self.context.taken.get(name, ("",))[0] == "a statement"

    def may_be_index(self, name: tree.Name) -> bool:
        """Whether an index may have this name: the names of dims, types, tensors and statements are taken."""
        taken = self.context.taken.get(name.id)
        if taken is None:
            return True
        message = f"`{name.id}` is already the name of {taken[0]}, so no index can have it"
        self.arithmetic.refuse("TW0203", name.span, message, notes=note(taken[1], f"`{name.id}` is declared here"))
        return False

    def knows(self, name: str) -> bool:
        """Whether ``name`` is that of a dim, a const, a scalar or a tensor."""
        return any(name in names for names in self._names())

    def _names(self) -> tuple[Collection[str], ...]:
        context = self.context
        return context.dims, context.consts, context.scalars, context.aliases, context.shaped

    # ------------------------------------------------------------ operations

    def _binary(self, expr: tree.Binary, scope: Scope) -> typed.Expr:
        if expr.op in ("and", "or"):
            return self._logical(expr, replace(scope, as_index=False))
        chain: list[tree.Binary] = []
        first: tree.Expr = expr
        while isinstance(first, tree.Binary) and first.op not in ("and", "or"):
            chain.append(first)
            first = first.left
        result = self.value(first, scope)
        for one in reversed(chain):
            right = self.value(one.right, scope)
            self._check_divisor(one, right, scope)
            result = self.arithmetic.binary(one.op, result, right, one.span)
        return result

    def _check_divisor(self, expr: tree.Binary, right: typed.Expr, scope: Scope) -> None:
        """An index divides only by what is not 0: proved here, else checked at launch."""
        if expr.op not in ("//", "%") or right.dtype != typed.INDEX or isinstance(right, typed.Literal):
            return
        self.context.check_divisor(right, scope)

    def _logical(self, expr: tree.Binary, scope: Scope) -> typed.Expr:
        left = self.condition(expr.left, scope)
        decides = expr.op == "or"
        if isinstance(left, typed.Literal) and left.dtype == "bool" and left.value is decides:
            return left
        right = self.condition(expr.right, self.context.under(scope, left, not decides))
        return self.arithmetic.logical(expr.op, left, right, expr.span)

    def _comparisons(self, expr: tree.Compare, scope: Scope) -> typed.Expr:
        operands = [self.value(operand, scope) for operand in expr.operands]
        if any(o.dtype == typed.INDEX and not isinstance(o, typed.Literal) for o in operands):
            operands = [
                self.index(tree_operand, scope) if is_integer(o.dtype) and o.dtype != typed.INDEX else o
                for tree_operand, o in zip(expr.operands, operands, strict=True)
            ]
        result: typed.Expr | None = None
        for op, left, right in zip(expr.ops, operands, operands[1:], strict=False):
            one = self.arithmetic.compare(op, left, right, expr.span)
            result = one if result is None else self.arithmetic.logical("and", result, one, expr.span)
        assert result is not None
        return result

    def _select(self, expr: tree.IfElse, scope: Scope) -> typed.Expr:
        condition = self.condition(expr.condition, scope)
        if isinstance(condition, typed.Literal) and condition.dtype == "bool":
            return self.value(expr.then if condition.value else expr.otherwise, scope)
        then = self.value(expr.then, self.context.under(scope, condition))
        otherwise = self.value(expr.otherwise, self.context.under(scope, condition, False))
        return self.arithmetic.select(condition, then, otherwise, expr.span)

    # ------------------------------------------------------------ what is not there

    def unknown_function(self, expr: tree.Call | tree.Reduce, known: frozenset[str]) -> typed.Expr:
        name = expr.name.id
        if name in NOT_IN_THE_LANGUAGE:
            message = f"{NOT_IN_THE_LANGUAGE[name]} are not in the language"
            return self.arithmetic.refuse("TW0903", expr.name.span, message)
        meant = suggestion(name, known)
        fix = replaced(expr.name.span, meant) if meant else None
        message = f"there is no function `{name}` here"
        return self.arithmetic.refuse("TW0209", expr.name.span, message, fix=fix)
