"""Owns how dims get their values: from the arguments' shapes, then from the ``require``s in order."""

from __future__ import annotations

from tilewright.compiler.language import tree, typed
from tilewright.compiler.language.check.context import Context, Scope
from tilewright.compiler.language.check.dtypes import ERROR
from tilewright.compiler.language.check.lower import Lowering
from tilewright.compiler.language.check.printed import printed
from tilewright.compiler.language.check.problems import note
from tilewright.compiler.language.check.prove import conditions
from tilewright.compiler.language.check.walk import parts, reads_values
from tilewright.compiler.language.span import Span


def bind_dims(context: Context, kernel: tree.Kernel) -> set[str]:
    """Bindings from the inputs' shapes, plain ones first; returns the dims that are bound."""
    bound: set[str] = set()
    axes = [
        (param, axis, expr)
        for param in kernel.tensors
        if param.name.id in context.shaped
        for axis, expr in enumerate(context.shaped[param.name.id].shape)
    ]
    for param, axis, expr in axes:
        if isinstance(expr, typed.Dim) and expr.name not in bound:
            bound.add(expr.name)
            context.bindings.append(typed.DimBinding(expr.name, param.name.id, axis, 1, 0))
    for param, axis, expr in axes:
        form = _affine(context, expr)
        if form is not None and form[0] not in bound:
            dim, scale, offset = form
            bound.add(dim)
            context.bindings.append(typed.DimBinding(dim, param.name.id, axis, scale, offset))
            if offset > 0:
                _check_natural(context, typed.Dim(expr.span, typed.INDEX, dim), f"dim `{dim}`", expr.span, proved=False)
    return bound


def _affine(context: Context, expr: typed.Expr) -> tuple[str, int, int] | None:
    """``(dim, scale, offset)`` of ``scale * dim + offset``."""
    polynomial = context.atoms.of(expr)
    terms = dict(polynomial.terms)
    offset = terms.pop((), 0)
    if len(terms) != 1:
        return None
    [(monomial, scale)] = terms.items()
    if len(monomial) != 1 or scale <= 0:
        return None
    atom = context.atoms[monomial[0]]
    return (atom.name, scale, offset) if atom.kind == "dim" else None


def solve_requires(context: Context, lowering: Lowering, kernel: tree.Kernel, bound: set[str]) -> None:
    """Reads the ``require``s in order: each solves an unbound dim or becomes a launch check."""
    for require in kernel.requires:
        for condition in _conjuncts(require.condition):
            _require(context, lowering, condition, bound)
    for dim, span in context.dims.items():
        if dim not in bound:
            _unbound(context, dim, span)


def _conjuncts(expr: tree.Expr) -> list[tree.Expr]:
    if isinstance(expr, tree.Binary) and expr.op == "and":
        return [*_conjuncts(expr.left), *_conjuncts(expr.right)]
    return [expr]


def _require(context: Context, lowering: Lowering, expr: tree.Expr, bound: set[str]) -> None:
    before = len(context.problems.found)
    condition = lowering.condition(expr, Scope())
    if condition.dtype == ERROR:
        return
    if reads_values(condition):
        message = "`require` speaks about dims and consts, not about values"
        context.problems.add("TW0409", expr.span, message, expected="a condition over dims and consts")
        return
    if _solves(context, condition, bound) or len(context.problems.found) > before:
        return
    unknown = sorted(_dims_of(condition) - bound, key=lambda dim: (_stands_alone(condition, dim), dim))
    if unknown:
        message = f"dim `{unknown[0]}` is not known here"
        notes = note(None, "a dim that no input binds stands alone on one side of an `==` whose other side is known")
        context.problems.add("TW0408", expr.span, message, notes=notes)
        bound.update(unknown)
        return
    if isinstance(condition, typed.Literal):
        if not condition.value:
            message = "this `require` is never met for these consts"
            context.problems.add("TW0409", expr.span, message, found=_consts(context))
        return
    context.check_at_launch(condition, f"require {expr.span.text}", "TW0507", expr.span)


def _stands_alone(condition: typed.Expr, dim: str) -> bool:
    if not isinstance(condition, typed.Compare):
        return False
    return any(isinstance(side, typed.Dim) and side.name == dim for side in (condition.left, condition.right))


def _consts(context: Context) -> str:
    return ", ".join(f"{name} = {value}" for name, value in context.consts.items())


def _solves(context: Context, condition: typed.Expr, bound: set[str]) -> bool:
    """Takes ``X == known`` as the definition of an unbound ``X``, and ``c * X + d == known`` likewise, checked."""
    if not isinstance(condition, typed.Compare) or condition.op != "==":
        return False
    for side, value in ((condition.left, condition.right), (condition.right, condition.left)):
        form = _affine(context, side)
        if form is None or form[0] in bound or not _dims_of(value) <= bound:
            continue
        dim, scale, offset = form
        bound.add(dim)
        solution = _inverted(context, value, scale, offset)
        context.solutions.append(typed.DimSolution(dim, solution))
        if not context.prover.proves(context.atoms.of(solution), context.facts):
            what = f"dim `{dim}` = {printed(solution)}"
            _check_natural(context, solution, what, condition.span, proved=False)
        if scale == 1:
            context.facts += conditions(context.atoms, condition)
        else:
            context.check_at_launch(condition, f"require {printed(condition)}", "TW0507", condition.span)
        return True
    return False


def _inverted(context: Context, value: typed.Expr, scale: int, offset: int) -> typed.Expr:
    """``(value - offset) // scale``."""
    span, arithmetic = value.span, context.arithmetic
    if offset:
        value = arithmetic.binary("-", value, typed.Literal(span, typed.INDEX, offset), span)
    return arithmetic.binary("//", value, typed.Literal(span, typed.INDEX, scale), span) if scale > 1 else value


def _dims_of(expr: typed.Expr) -> set[str]:
    if isinstance(expr, typed.Dim):
        return {expr.name}
    return {name for part in parts(expr) for name in _dims_of(part)}


def _unbound(context: Context, dim: str, span: Span) -> None:
    context.problems.add(
        "TW0407",
        span,
        f"nothing binds dim `{dim}`",
        expected=f"an input with an axis `{dim}`, `{dim} + c` or `c * {dim}`, or `require {dim} == …`",
    )


def check_shapes(context: Context, kernel: tree.Kernel) -> None:
    """No axis of an output may be negative, and every tensor's dims divide and subtract to something."""
    for param in (*kernel.outputs, *kernel.tensors):
        shaped = context.shaped.get(param.name.id)
        for axis, expr in enumerate(shaped.shape if shaped else ()):
            if expr.dtype == ERROR or context.prover.proves(context.atoms.of(expr), context.facts):
                continue
            what = f"axis {axis} of `{param.name.id}` ({printed(expr)})"
            _check_natural(context, expr, what, expr.span, proved=True)


def _check_natural(context: Context, expr: typed.Expr, what: str, span: Span, proved: bool) -> None:
    """Checks at launch that a size is not negative; ``proved`` ones are facts for what follows anyway."""
    zero = typed.Literal(span, typed.INDEX, 0)
    condition = context.arithmetic.compare(">=", expr, zero, span)
    if isinstance(condition, typed.Literal) and not condition.value:
        context.problems.add("TW0409", span, f"{what} is negative")
        return
    context.check_at_launch(condition, f"{what} must not be negative", "TW0508", span, certain=proved)
