"""Kernels of a given number of operations, each long in another way: what compiling takes time in proportion to."""

from __future__ import annotations

TERMS = 1000
"""Of one expression: a line of the language may have 10,000 tokens."""


def chain(operations: int) -> str:
    """Statements that each read the one before."""
    count = operations // 2
    lines = [f"    t{k + 1}[i] = t{k}[i] * x[i] + {k}.5" for k in range(count)]
    return "\n".join(
        ["kernel chain[N](x: f32[N]) -> (y: f32[N]):", "    t0[i] = x[i]", *lines, f"    y[i] = t{count}[i]"]
    )


def expression(operations: int) -> str:
    """Balanced expressions, as large as a line may be."""

    def part(low: int, high: int) -> str:
        if high - low == 1:
            return f"x[i] * {low}.5"
        middle = (low + high) // 2
        return f"({part(low, middle)} + {part(middle, high)})"

    ends = [*range(0, operations // 2, TERMS), operations // 2]
    lines = [f"    e{low}[i] = {part(low, high)}" for low, high in zip(ends, ends[1:], strict=False)]
    total = " + ".join(f"e{low}[i]" for low in ends[:-1])
    return "\n".join(["kernel expression[N](x: f32[N]) -> (y: f32[N]):", *lines, f"    y[i] = {total}"])


def reductions(operations: int) -> str:
    """Sums over the rows of one matrix."""
    count = operations // 6
    outputs = ", ".join(f"y{k}: f32[M]" for k in range(count))
    lines = [f"    y{k}[i] = sum[j](exp(x[i, j] * {k}.5) * 2.0 + x[i, j]) - 1.0" for k in range(count)]
    return "\n".join([f"kernel reductions[M, N](x: f32[M, N]) -> ({outputs}):", *lines])


def outputs(operations: int) -> str:
    """Maps of one vector, each a result."""
    count = operations // 5
    results = ", ".join(f"y{k}: f32[N]" for k in range(count))
    lines = [f"    y{k}[i] = (x[i] * {k}.5 + 1.0) * x[i] - max(x[i], {k}.0)" for k in range(count)]
    return "\n".join([f"kernel outputs[N](x: f32[N]) -> ({results}):", *lines])


def launches(operations: int) -> str:
    """Sums of vectors that need the sum before: each is a launch of its own."""
    count = operations // 3
    lines = []
    for k in range(count):
        lines += [f"    s{k} = sum[i](t{k}[i])", f"    t{k + 1}[i] = t{k}[i] * s{k} + {k}.5"]
    return "\n".join(
        ["kernel launches[N](x: f32[N]) -> (y: f32[N]):", "    t0[i] = x[i]", *lines, f"    y[i] = t{count}[i]"]
    )


def macros(operations: int) -> str:
    """Statements that each call a macro."""
    count = operations // 5
    lines = [f"    t{k + 1}[i] = step(t{k}[i], x[i] + {k}.5)" for k in range(count)]
    return "\n".join(
        ["def step(a, b) = a * b + tanh(a) - b", "", "kernel macros[N](x: f32[N]) -> (y: f32[N]):", "    t0[i] = x[i]",
         *lines, f"    y[i] = t{count}[i]"]
    )  # fmt: skip


KINDS = (chain, expression, reductions, outputs, launches, macros)
