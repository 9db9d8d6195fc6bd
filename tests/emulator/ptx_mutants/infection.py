"""Whether a mistake ever makes a difference: the working kernel computes both values and traps where they differ.

A mutant whose statement gives the original's result in every launch leaves the state as it was, so no oracle could
notice it. That is how survivors like a rounding correction for negative thread numbers are told from missed faults.
"""

from __future__ import annotations

import re

from tests.emulator.ptx_mutants.edits import Statement, parse_statement

WIDTHS = (("%rs", "b16"), ("%rd", "b64"), ("%fd", "b64"), ("%h", "b16"), ("%p", "pred"), ("%r", "b32"), ("%f", "b32"))
"""Register types by the prefixes that nvcc and LLVM give them."""
PURE = (
    "add", "sub", "mul", "mad", "fma", "shl", "shr", "and", "or", "xor", "bfe", "bfi", "min", "max", "selp", "setp",
    "mov", "div", "rem", "neg", "abs", "prmt", "lop3", "ex2", "lg2", "rcp", "sqrt",
)  # fmt: skip


def watched(original: str, changed: str) -> str | None:
    """A line that acts as the original and traps when the change would matter; None when that cannot be written."""
    old = parse_statement(original)
    if old is None:
        return None
    new = parse_statement(changed)
    if old.guard and (new is None or new.guard != old.guard):
        return _watched_guard(old, new)
    if new is None or old.guard or new.guard or old.root not in PURE:
        return None
    return _watched_value(old, new)


def _watched_guard(old: Statement, new: Statement | None) -> str | None:
    """Never: the guard must not hold. Always: it must hold. Negated is a difference whatever it holds."""
    if new is None:
        return f"{old.guard} trap; {old.having()}"
    if new.guard:
        return None
    opposite = old.guard.replace("@!", "@") if old.guard.startswith("@!") else old.guard.replace("@", "@!")
    return f"{opposite} trap; {old.having()}"


def _watched_value(old: Statement, new: Statement) -> str | None:
    target = old.operands[0]
    kind = next((kind for prefix, kind in WIDTHS if re.match(rf"{prefix}\d+$", target)), None)
    if kind is None or new.operands[0] != target:
        return None
    twin = new.having(operands=("twin", *new.operands[1:]))
    differ = "xor.pred differ, twin, " if kind == "pred" else f"setp.ne.{kind} differ, twin, "
    return f"{{ .reg .{kind} twin; .reg .pred differ; {twin} {old.having()} {differ}{target}; @differ trap; }}"
