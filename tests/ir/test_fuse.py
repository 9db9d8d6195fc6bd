"""Pass ``fuse``: what is substituted, what is merged, what stays, and unchanged meaning."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.ir.tensor_road import assert_same_meaning, emitted, filecheck, program_of, run
from tilewright.dialect.folds import FoldKind
from tilewright.passes.base import Pass, run_passes
from tilewright.passes.names import UnknownPass, build_pipeline
from tilewright.passes.tensor.common import Common
from tilewright.passes.tensor.cost import CHEAP, LARGE, READ, ROUND_TRIP, cost_of
from tilewright.passes.tensor.fuse import Fuse
from tilewright.passes.tensor.program import Comprehension
from tilewright.passes.tensor.siblings import Siblings

MERGE: tuple[Pass, ...] = (Siblings(), Common())


def _fused(text: str, merge: Sequence[Pass] = MERGE) -> tuple[list[Comprehension], list[Comprehension]]:
    """Folds and maps after fusion."""
    with emitted(text) as module:
        found = program_of(run_passes(module, [Common(), Fuse(), Common(), *merge])).comprehensions
        return [c for c in found if c.is_fold], [c for c in found if not c.is_fold]


def test_a_map_read_once_moves_into_its_reader() -> None:
    with emitted("""
        kernel axpy[N](x: f32[N], z: f32[N]; a: f32) -> (y: f32[N]):
            t[i] = a * x[i]
            y[i] = t[i] + z[i]
    """) as module:  # fmt: skip
        filecheck(
            run_passes(module, [Common(), Fuse()]),
            """
            // CHECK: "tw.map"()
            // CHECK: arith.mulf
            // CHECK: arith.addf
            // CHECK: "tw.yield"
            // CHECK-NOT: "tw.map"()
            // CHECK: return
        """,
        )


def test_sums_over_the_same_points_become_one_fold() -> None:
    folds, _ = _fused("""
        kernel moments[M, N](x: f32[M, N]) -> (a: f32[M], b: f32[M], c: f32[M]):
            a[i] = sum[j](x[i, j])
            b[i] = sum[j](x[i, j] * x[i, j])
            c[i] = max[j](x[i, j])
    """)
    (fold,) = folds
    assert sorted(fold.kinds) == [FoldKind.ADD, FoldKind.ADD, FoldKind.MAX]


def test_siblings_can_be_switched_off() -> None:
    text = """
        kernel k[M, N](x: f32[M, N]) -> (a: f32[M], b: f32[M]):
            a[i] = sum[j](x[i, j])
            b[i] = max[j](x[i, j])
    """
    assert len(_fused(text)[0]) == 1 and len(_fused(text, merge=())[0]) == 2


def test_folds_that_need_each_other_stay_apart() -> None:
    folds, _ = _fused(
        "kernel k[M, N](x: f32[M, N]) -> (y: f32[M]):\n    y[i] = sum[j](exp(x[i, j] - max[l](x[i, l])))\n"
    )
    assert [f.kinds for f in folds] == [(FoldKind.MAX,), (FoldKind.ADD,)]


def test_a_contraction_is_never_computed_in_an_inner_loop() -> None:
    folds, _ = _fused("""
        kernel k[N](a: f32[N, N], b: f32[N, N]) -> (y: f32[N, N]):
            t[i, j] = sum[k](a[i, k] * b[k, j])
            y[i, j] = max[l](t[i, l] + a[l, j])
    """)
    assert len(folds) == 2 and all(f.domain.rank == 3 for f in folds)


def test_an_expensive_value_read_at_many_places_is_stored() -> None:
    stencil = " + ".join(f"(t[i + {k}] else 0)" for k in range(4))
    text = f"kernel k[N](x: f32[N]) -> (y: f32[N]):\n    t[i] = tanh(exp(x[i]) + log(x[i]))\n    y[i] = {stencil}\n"
    assert len(_fused(text)[1]) == 2
    assert len(_fused(text.replace("tanh(exp(x[i]) + log(x[i]))", "x[i] + 1"))[1]) == 1


def test_a_guarded_read_of_a_map_keeps_its_guard() -> None:
    with emitted("""
        kernel k[N](x: f32[N]) -> (y: f32[N]):
            t[i] = x[i] + 1
            y[i] = (t[i - 1] else 5)
    """) as module:  # fmt: skip
        after = run_passes(module, [Fuse()])
        assert len(program_of(after).comprehensions) == 1
        assert run(after, {"x": [1.0, 2.0, 3.0]}, {"N": 3})["y"].tolist() == [5.0, 2.0, 3.0]


def test_what_no_output_needs_is_gone() -> None:
    folds, maps = _fused(
        "kernel k[N](x: f32[N]) -> (y: f32[N]):\n    t = sum[i](x[i])\n    u = t * 2\n    y[i] = x[i]\n"
    )
    assert (len(folds), len(maps)) == (0, 1)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UnknownPass, match="sibling"):
        build_pipeline("fuse{sibling=true}", {"fuse": Fuse})


PROGRAMS = (
    """
        kernel a[N](x: f32[N], at: i32[N]) -> (y: f32[N], z: f32[N]):
            t[i] = x[i] * 2
            u[i: N] = (t[i+1] else 3) + (t[i-1] else 0)
            y[i] = u[i] + (t[at[i]] else 1)
            z[i] = u[i] * u[i]
    """,
    """
        kernel b[M, N](x: f32[M, N]) -> (y: f32[N, M], s: f32[M]):
            t[i, j] = exp(x[i, j]) if i < j else x[i, j]
            y[j, i] = t[i, j] - max[k](t[i, k])
            s[i] = sum[j](t[i, j])
    """,
    """
        kernel c[M, N](x: f16[M, N]) -> (z: f16[M, N], y: f32[M]):
            z[i, j] = x[i, j] * 1.5
            y[i] = sum[j](z[i, j] * z[i, j]) + min[j](z[i, j])
    """,
    """
        kernel d[N](x: i32[N], len: i32[N]) -> (y: i32[N], p: i64[N]):
            t[i] = x[i] * x[i]
            y[i] = sum[j in 0 .. len[i]](t[j])
            p[i] = i64(argmax[j](t[j] - x[i])) + sum[j](i64(t[j]))
    """,
    """
        kernel e[M, N](x: f32[M, N]) -> (y: f32[M, N]):
            t[i: M, j: N] = x[i, j] + 1
            y[i, j] = (t[i - 1, j + 1] else 7)
    """,
)


@pytest.mark.parametrize("text", PROGRAMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_meaning_stays(text: str, seed: int) -> None:
    assert_same_meaning(text, [Common(), Fuse(), Common(), Siblings(), Common()], seed)


def _value_of_cost(cost: int) -> str:
    """An expression of ``x[i]`` that costs so much: a read and additions."""
    return "x[i]" + "".join(f" + {k}.5" for k in range(cost - READ))


@pytest.mark.parametrize(("uses", "most"), [(2, ROUND_TRIP), (3, ROUND_TRIP // 2), (5, ROUND_TRIP // 4)])
def test_a_value_is_computed_again_where_that_costs_less_than_memory(uses: int, most: int) -> None:
    names = ", ".join(f"y{k}: f32[N]" for k in range(uses))
    lines = "\n".join(f"    y{k}[i] = t[i] * {k + 2}.5" for k in range(uses))
    for cost, stored in ((most, 0), (most + 1, 1)):
        text = f"kernel k[N](x: f32[N]) -> ({names}):\n    t[i] = {_value_of_cost(cost)}\n{lines}\n"
        assert len(_fused(text, merge=())[1]) == uses + stored, cost


def test_a_result_of_the_kernel_is_one_use_more() -> None:
    text = "kernel k[N](x: f32[N]) -> (t: f32[N], y: f32[N]):\n    t[i] = {}\n    y[i] = t[i] * 2.5\n"
    for cost, reads in ((ROUND_TRIP, 0), (ROUND_TRIP + 1, 1)):
        maps = _fused(text.format(_value_of_cost(cost)), merge=())[1]
        assert len(maps) == 2 and sum(isinstance(r.source, Comprehension) for m in maps for r in m.reads) == reads


def test_only_what_is_cheap_is_computed_for_each_tap_of_a_window() -> None:
    text = "kernel k[N](x: f32[N]) -> (y: f32[N]):\n    t[i] = {}\n    y[i] = (t[i + 1] else 0)\n"
    assert len(_fused(text.format(_value_of_cost(CHEAP)))[1]) == 1
    assert len(_fused(text.format(_value_of_cost(CHEAP + 1)))[1]) == 2


def test_what_costs_a_lot_stands_alone() -> None:
    """The costs of what was substituted before count."""
    parts, each = 8, LARGE // 8
    for extra, stored in ((0, 0), (1, 1)):
        lines = [f"    t0[i] = {_value_of_cost(each // 2 + extra)}"]
        lines += [f"    t{k}[i] = t{k - 1}[i]" + f" + {k}.25" * (each // 2 - READ) for k in range(1, 2 * parts)]
        text = "\n".join(["kernel k[N](x: f32[N]) -> (y: f32[N]):", *lines, f"    y[i] = t{2 * parts - 1}[i] * 2.5"])
        assert len(_fused(text)[1]) == 1 + stored, extra


@pytest.mark.parametrize(
    ("expression", "cost"),
    [
        ("x[i]", READ), ("x[i] + 1.5", READ + 1), ("x[i] * x[i]", 2 * READ + 1), ("x[i] / 3.5", READ + 4),
        ("sqrt(x[i])", READ + 4), ("exp(x[i])", READ + 12), ("abs(x[i])", READ + 1), ("floor(x[i])", READ + 1),
        ("x[i] + x[i + 1 - 1]", 2 * READ + 1), ("i", 1), ("bitcast(f32, bitcast(i32, x[i]))", READ),
        ("fma(x[i], 2.5, 1.5)", READ + 1), ("tanh(x[i]) - 1.5", READ + 13),
    ],
)  # fmt: skip
def test_what_an_element_costs(expression: str, cost: int) -> None:
    with emitted(f"kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = f32({expression})\n") as module:
        (comprehension,) = program_of(module).comprehensions
        assert cost_of(comprehension.body) == cost


@pytest.mark.parametrize(
    ("reader", "substituted"),
    [
        ("z[i: M] = y[i] + 1", True), ("z[i: M] = (y[i + 1] else 0)", False), ("z[i: M] = sum[k: M](y[k] + i)", False),
        ("z[i: M] = sum[k: 3](y[i] + k)", True), ("z[i: M] = (y[M - 1 - i] else 0)", False),
    ],
)  # fmt: skip
def test_a_result_made_of_a_sum_is_read_where_its_sum_would_not_be_at_hand(reader: str, substituted: bool) -> None:
    """The sum belongs to the cell of its row; at another row, or inside a loop over rows, it is read from memory."""
    text = f"""
        kernel k[M, N](x: f32[M, N]) -> (y: f32[M], z: f32[M]):
            y[i] = sum[j](x[i, j]) * 2
            {reader}
    """
    with emitted(text) as module:
        found = program_of(run_passes(module, [Common(), Fuse()]))
        y, z = (source for source, _ in found.outputs)
        assert isinstance(z, Comprehension)
        reads = [r for c in (z, *z.inputs) if isinstance(c, Comprehension) and c is not y for r in c.reads]
        assert any(r.source is y for r in reads) is not substituted
