"""Pass ``partition``: which launches there are, what crosses them, and that the way of writing does not matter."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz.generate import generate
from tests.ir.tensor_road import ROAD, assert_same_meaning, emitted, filecheck, launches
from tests.sources import typed_text
from tilewright.compiler.emit import emit
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.dialect import functions, ods
from tilewright.dialect.faults import PassFault
from tilewright.dialect.interpret.tensor import run_tensor
from tilewright.dialect.mlir import ir
from tilewright.dialect.printing import dump, parse_module
from tilewright.passes.base import Pass, run_passes
from tilewright.passes.tensor.cost import LARGE, cost_of
from tilewright.passes.tensor.decode import decode
from tilewright.passes.tensor.grouping import MAX_RESULTS
from tilewright.passes.tensor.partition import Partition

FUZZ_SEEDS = range(100, 140)
SOFTMAX = """
    kernel softmax<T: float>[M, N](x: T[M, N]) -> (y: T[M, N]):
        y[i, j] = exp(x[i, j] - max[k](x[i, k])) / sum[l](exp(x[i, l] - max[m](x[i, m])))
"""
LINEAR = """
    kernel linear<T: float>[M, N, K](a: T[M, K], w: T[N, K], b: T[N]) -> (y: T[M, N]):
        y[i, j] = tanh(sum[k](a[i, k] * w[j, k]) + b[j])
"""
MLP = """
    kernel mlp<T: float>[M, N, K, L](x: T[M, K], w: T[N, K], b: T[N], v: T[L, N]) -> (y: T[M, L]):
        y[i, l] = sum[j](T(max(sum[k](x[i, k] * w[j, k]) + b[j], 0)) * v[l, j])
"""
ATTENTION = """
    kernel attention<T: float>[B, S, L, D](
            q: T[B, S, D], k: T[B, L, D], v: T[B, L, D]; scale: f32
        ) -> (o: T[B, S, D], lse: f32[B, S]):
        s[b, i, j] = scale * sum[d](q[b, i, d] * k[b, j, d])
        m[b, i] = max[j](s[b, i, j])
        l[b, i] = sum[j](exp(s[b, i, j] - m[b, i]))
        o[b, i, d] = sum[j](T(exp(s[b, i, j] - m[b, i])) * v[b, j, d]) / l[b, i]
        lse[b, i] = m[b, i] + log(l[b, i])
"""


def _partitioned(text: str, types: dict[str, str] | None = None) -> Any:
    with emitted(text, types or {"T": "f32"}) as module:
        return run_passes(module, ROAD)


def _grids(module: Any) -> list[tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]]:
    found = []
    for launch in launches(module):
        grid = functions.grid_of(launch)
        assert grid is not None
        found.append((tuple(str(e) for e in grid.extents.results), grid.positions))
    return found


def test_softmax_is_one_launch_over_rows() -> None:
    assert _grids(_partitioned(SOFTMAX)) == [(("s0",), ((0,),))]


def test_an_epilogue_stays_with_its_contraction() -> None:
    module = _partitioned(LINEAR, {"T": "bf16"})
    assert _grids(module) == [(("s0", "s1"), ((0, 1),))]
    filecheck(
        module,
        """
        // CHECK: func.func @linear(
        // CHECK: call @linear_0(%arg0, %arg1, %arg2)
        // CHECK: func.func @linear_0(
        // CHECK-SAME: tw.grid
        // CHECK-SAME: tw.reason = "writes y
        // CHECK: "tw.fold"()
        // CHECK: "tw.map"()
        // CHECK: math.tanh
        // CHECK: return
    """,
    )


def test_what_every_reader_does_first_is_done_before_the_store() -> None:
    """The activation and the rounding of the hidden layer belong to the launch that makes it."""
    module = _partitioned(MLP, {"T": "bf16"})
    first, second = launches(module)
    workspace = functions.results_of(first, "tw")[0]
    assert (workspace.role, workspace.dtype) == ("workspace", "bf16")
    assert "arith.maximumf" in str(first) and "arith.maximumf" not in str(second)


def test_plain_attention_is_scores_statistics_and_values() -> None:
    module = _partitioned(ATTENTION, {"T": "f16"})
    assert [grid for grid, _ in _grids(module)] == [("s0", "s1", "s2"), ("s0", "s1"), ("s0", "s1", "s3")]
    scores, statistics, values = launches(module)
    assert [r.role for r in functions.results_of(statistics, "tw")].count("out") == 1
    assert "math.exp" in str(values) and "math.log" not in str(values)
    assert [a.role for a in functions.arguments_of(values, "tw")].count("workspace") == 3
    assert "math.exp" not in str(scores)


def test_statistics_over_batch_and_space_do_not_pull_the_tensor_into_one_cell() -> None:
    module = _partitioned("""
        kernel bn[N, C, H](x: f32[N, C, H]) -> (y: f32[N, C, H]):
            m[c] = mean[n, h](x[n, c, h])
            y[n, c, h] = x[n, c, h] - m[c]
    """)
    assert [grid for grid, _ in _grids(module)] == [("s1",), ("s0", "s1", "s2")]


def test_what_another_launch_stands_between_is_not_joined() -> None:
    """``y`` would fit the cell of ``s``, but the largest of all ``s`` must be known in between."""
    text = """
        kernel k[M, N](x: f32[M, N]) -> (y: f32[M]):
            s[i: M] = sum[j](x[i, j])
            t = max[i: M](s[i])
            y[i] = s[i] - t
    """
    assert [grid for grid, _ in _grids(_partitioned(text))] == [("s0",), (), ("s0",)]
    assert_same_meaning(text, ROAD, seed=1)


def test_a_kernel_without_tensors_is_a_launch() -> None:
    text = "kernel k() -> (y: i32[5], z: f32[3]):\n    y[i] = i * i\n    z[i] = i / 2\n"
    assert_same_meaning(text, ROAD, seed=1)
    with emitted(text) as module:
        assert len(launches(run_passes(parse_module(dump(module)), ROAD))) == 2


def test_outputs_that_are_equal_have_a_tensor_each() -> None:
    module = _partitioned("kernel k[N](x: f32[N]) -> (y: f32[N], z: f32[N]):\n    y[i] = x[i]\n    z[j] = x[j]\n")
    (launch,) = launches(module)
    assert [r.name for r in functions.results_of(launch, "tw")] == ["y", "z"]


def test_a_wrong_partition_is_named() -> None:
    class Wrong(Partition):
        def run(self, module: Any) -> Any:
            result = super().run(module)
            ods.ops_of(result.body)[0].attributes["res_attrs"] = ir.ArrayAttr.get([ir.DictAttr.get({})] * 3)
            return result

    with emitted(SOFTMAX, {"T": "f32"}) as module, pytest.raises(PassFault, match="partition"):
        run_passes(module, [Wrong()])


OTHER_SOFTMAX = """
    kernel other<U: float>[R, C](inp: U[R, C]) -> (out: U[R, C]):
        top[q] = max[p](inp[q, p])
        e[q, p] = exp(inp[q, p] - top[q])
        out[q, p] = e[q, p] / sum[z](e[q, z])
"""
OTHER_LINEAR = """
    kernel other<U: float>[R, C, D](a: U[R, D], w: U[C, D], b: U[C]) -> (y: U[R, C]):
        t[c, r] = sum[d](w[c, d] * a[r, d])
        z[r, c] = b[c] + t[c, r]
        y[r, c] = tanh(z[r, c])
"""
OTHER_MLP = """
    kernel other<U: float>[R, C, D, E](x: U[R, D], w: U[C, D], b: U[C], v: U[E, C]) -> (y: U[R, E]):
        h[c, r] = sum[d](w[c, d] * x[r, d])
        g[r, c] = U(max(0, b[c] + h[c, r]))
        y[r, e] = sum[c](v[e, c] * g[r, c])
"""
OTHER_ATTENTION = """
    kernel other<U: float>[B, S, L, D](
            q: U[B, S, D], k: U[B, L, D], v: U[B, L, D]; scale: f32
        ) -> (o: U[B, S, D], lse: f32[B, S]):
        p[z, y, x] = sum[w](k[z, x, w] * q[z, y, w])
        s[z, y, x] = p[z, y, x] * scale
        lse[z, y] = log(sum[x](exp(s[z, y, x] - max[a](s[z, y, a])))) + max[a](s[z, y, a])
        t[z, x, y] = exp(s[z, y, x] - max[a](s[z, y, a]))
        o[z, y, w] = sum[x](v[z, x, w] * U(t[z, x, y])) / sum[x](t[z, x, y])
"""
REWRITTEN = [(SOFTMAX, OTHER_SOFTMAX), (LINEAR, OTHER_LINEAR), (MLP, OTHER_MLP), (ATTENTION, OTHER_ATTENTION)]


@pytest.mark.parametrize(("text", "rewritten"), REWRITTEN, ids=["softmax", "linear", "mlp", "attention"])
def test_renaming_commuting_and_splitting_give_the_same_launches(text: str, rewritten: str) -> None:
    shapes = []
    for source, name in ((text, "T"), (rewritten, "U")):
        module = _partitioned(source, {name: "bf16"})
        histograms = [_histogram(launch) for launch in launches(module)]
        shapes.append((_grids(module), histograms))
    assert shapes[0] == shapes[1]


def _histogram(launch: Any) -> dict[str, int]:
    counts: dict[str, int] = {}

    def count(op: Any) -> Any:
        counts[op.name] = counts.get(op.name, 0) + 1
        return ir.WalkResult.ADVANCE

    launch.operation.walk(count)
    return counts


@pytest.mark.parametrize("text", [SOFTMAX, LINEAR, MLP, ATTENTION], ids=["softmax", "linear", "mlp", "attention"])
@pytest.mark.parametrize("left_out", [None, *sorted({step.name for step in ROAD} - {"partition"})])
def test_each_pass_may_be_left_out(text: str, left_out: str | None) -> None:
    road: list[Pass] = [step for step in ROAD if step.name != left_out]
    assert_same_meaning(text, road, 5, {"T": "f32"})


@pytest.mark.parametrize("seed", FUZZ_SEEDS)
def test_random_programs_keep_their_meaning(seed: int) -> None:
    program = generate(seed)
    kernel = typed_text(program.source, "fuzz", program.types, program.consts)
    dims = {name: program.dims[name] for name in kernel.dims}
    expected = evaluate(kernel, program.arguments, dims=dims)
    with ods.session():
        try:
            module = emit(kernel)
        except SourceErrors as error:
            pytest.skip(str(error.diagnostics[0].message))
        for step in ROAD:
            module = run_passes(module, [step])
            found = run_tensor(module, "fuzz", program.arguments, dims)
            for output in kernel.outputs:
                told = compare(expected, output.name, found[output.name])
                assert told.ok, f"seed {seed}, {step.name}: {told.message}\n{program.source}"


# ---------------------------------------------------------------- no launch is too large

MANY = 40


def test_siblings_beyond_the_largest_launch_share_the_next_one() -> None:
    names = ", ".join(f"y{k}: f32[N]" for k in range(MANY))
    lines = "\n".join(f"    y{k}[i] = x[i] * {k}.5" for k in range(MANY))
    module = _partitioned(f"kernel many[N](x: f32[N]) -> ({names}):\n{lines}")
    with ods.session():
        counts = [len(decode(function).outputs) for function in launches(module)]
    assert counts == [MAX_RESULTS, MAX_RESULTS, MANY % MAX_RESULTS]


def test_a_long_chain_becomes_launches_of_bounded_cost() -> None:
    count = LARGE // 4  # each costs more than 12
    lines = "\n".join(f"    t{k + 1}[i] = tanh(t{k}[i]) + x[i]" for k in range(count))
    head = "kernel chain[N](x: f32[N]) -> (y: f32[N]):\n    t0[i] = x[i]"
    module = _partitioned(f"{head}\n{lines}\n    y[i] = t{count}[i]")
    with ods.session():
        costs = [sum(cost_of(c.body) for c in decode(function).comprehensions) for function in launches(module)]
    assert 2 < len(costs) and max(costs) <= 2 * LARGE
