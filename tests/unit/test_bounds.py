"""In-bounds proofs: how each form of read is classified, and that nothing wrong is ever proved."""

from __future__ import annotations

import itertools
import random

import pytest
from tests.unit.typed_kernels import codes, kernel, reads

from tilewright.compiler.language.check.values import value_of
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.typed import Access

PROVED, LAUNCH, GATHER, GUARDED = Access.PROVED, Access.LAUNCH, Access.GATHER, Access.GUARDED

FORMS = [
    ("x: f32[N]", "", "x[i]", "N", PROVED),
    ("x: f32[N]", "", "x[N - 1 - i]", "N", PROVED),
    ("x: f32[N]", "", "x[i // 2]", "N", PROVED),
    ("x: f32[N]", "", "x[i * i // (i + 1)]", "N", PROVED),
    ("x: f32[N + 2]", "", "x[i + 2]", "N", PROVED),
    ("x: f32[2 * N]", "", "x[2 * i + 1]", "N", PROVED),
    ("x: f32[N]", "", "x[min(i + 1, N - 1)]", "N", PROVED),
    ("x: f32[N]", "", "x[max(i - 1, 0)]", "N", PROVED),
    ("x: f32[N]", "", "x[(i + 1) % N]", "N", PROVED),
    ("x: f32[N]", "", "x[i ^ i]", "N", None),
    ("x: f32[N]", "", "x[i if i > 3 else 0]", "N", PROVED),
    ("x: f32[N], w: f32[M]", "require N % 4 == 0", "x[i // 4 * 4 + 3]", "N", PROVED),
    ("x: f32[M, N]", "", "sum[r, c](x[r, c])", "N", PROVED),
    ("x: f32[N, 4]", "", "sum[c: 4](x[i, c])", "N", PROVED),
    ("x: f32[N], w: f32[M]", "require M <= N", "sum[k](w[k] * x[k])", None, None),
    ("x: f32[N]", "", "x[i + 1] if i + 1 < N else 0", "N", GUARDED),
    ("x: f32[N]", "", "x[i - 1] if i > 0 else x[i]", "N", GUARDED),
    ("x: f32[N]", "", "1 if i > 0 and x[i - 1] > 0 else 0", "N", GUARDED),
    ("x: f32[N]", "", "1 if i == 0 or x[i - 1] > 0 else 0", "N", GUARDED),
    ("x: f32[N]", "", "x[i + 1] if not i >= N - 1 else 0", "N", GUARDED),
    ("x: f32[N]", "", "sum[k: 3 where i + k < N](x[i + k])", "N", GUARDED),
    ("x: f32[N]", "", "(x[i + 1] else 0)", "N", GUARDED),
    ("x: f32[N]", "", "max((x[i + 1] else 0), 0)", "N", GUARDED),
    ("x: f32[N]", "", "x[i + 7] if N > 5 and N < 3 else 0", "N", GUARDED),
    ("x: f32[N]", "", "x[N - 1]", "N", PROVED),
    ("x: f32[N], w: f32[M]", "", "x[i] + w[M - 1]", "N", LAUNCH),
    ("x: f32[N], id: i32[N]", "", "x[id[i]]", "N", GATHER),
    ("x: f32[N], id: i32[N]", "", "x[min(max(id[i], 0), N - 1)]", "N", PROVED),
    ("x: f32[N], id: i32[N]", "", "x[id[i]] if 0 <= id[i] < N else 0", "N", GUARDED),
    ("x: f32[N], id: i32[N]", "", "sum[k in 0 .. id[i]](x[k])", "N", GATHER),
    ("x: f32[N], id: i32[N]", "", "x[i + 1] if id[i] > 0 else 0", "N", GATHER),
    ("x: f32[N]", "", "x[argmax[k](x[k])]", "N", GATHER),
    ("x: f32[N], id: i32[N]", "", "x[segment(id, i)]", "N", GATHER),
]  # fmt: skip


@pytest.mark.parametrize(("params", "require", "value", "extent", "expected"), FORMS, ids=lambda one: str(one)[:30])
def test_form_is_classified(
    params: str, require: str, value: str, extent: str | None, expected: Access | None
) -> None:
    dims = ", ".join(sorted({c for c in params if c in "MN"}))
    body = f"    {require}\n" if require else ""
    text = f"kernel f[{dims}]({params}) -> (y: f32[N]):\n{body}    y[i] = {value}\n"
    if expected is None:
        assert codes(text) in ([], ["TW0501"])
        return
    found = kernel(text)
    ways = [way for read in reads(found, "x") + reads(found, "w") for way in read.access]
    order = [PROVED, GUARDED, LAUNCH, GATHER]
    assert max(ways, key=order.index) is expected
    assert extent is not None


def test_flattened_places_are_proved() -> None:
    text = "kernel f[M, N, K](x: f32[M, N, K], f: f32[M * N * K]) -> (y: f32[M, N, K]):\n"
    found = kernel(text + "    y[i, j, k] = f[(i * N + j) * K + k] + x[i, j, k]\n")
    assert reads(found, "f")[0].access == (PROVED,)


def test_grouped_heads_are_proved() -> None:
    text = "kernel f[H, G](q: f32[H], k: f32[G]) -> (y: f32[H], z: f32[G]):\n    require H % G == 0\n"
    found = kernel(text + "    y[h] = q[h] * k[h // (H // G)]\n    z[g] = sum[u: H // G](q[g * (H // G) + u])\n")
    assert [read.access for name in "qk" for read in reads(found, name)] == [(PROVED,)] * 3
    assert [check.code for check in found.checks] == ["TW0505", "TW0507"]


def test_an_error_shows_a_shape() -> None:
    with pytest.raises(SourceErrors) as raised:
        kernel("kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i + 1]\n")
    assert "N = " in raised.value.diagnostics[0].found


def test_consts_decide() -> None:
    text = "kernel f[N](x: f32[N]; const shift: int = 0) -> (y: f32[N]):\n    y[i] = x[i + shift]\n"
    assert reads(kernel(text), "x")[0].access == (PROVED,)
    with pytest.raises(SourceErrors):
        kernel(text, shift=1)


def test_a_launch_check_spares_empty_results() -> None:
    found = kernel("kernel f[M, N](x: f32[N], v: f32[M]) -> (y: f32[M]):\n    y[i] = v[i] * x[N - 1]\n")
    [check] = found.checks
    assert value_of(check.condition, {"M": 0, "N": 0}) is True
    assert value_of(check.condition, {"M": 1, "N": 0}) is False
    assert value_of(check.condition, {"M": 1, "N": 1}) is True


def test_what_no_output_needs_is_not_checked_at_launch() -> None:
    found = kernel("kernel f[M, N](x: f32[N], v: f32[M]) -> (y: f32[M]):\n    t = x[N - 1]\n    y[i] = v[i]\n")
    assert found.checks == ()


def test_indices_beyond_32_bits_are_exact() -> None:
    text = "kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = x[i * 4294967297 // 4294967297]\n"
    assert reads(kernel(text), "x")[0].access == (PROVED,)


def random_index(chance: random.Random, depth: int) -> str:
    """An index expression over i < M, j < N."""
    if depth == 0:
        return chance.choice(["i", "j", "M", "N", "1", "2", "3"])
    left, right = random_index(chance, depth - 1), random_index(chance, chance.randrange(depth))
    form = chance.choice(["{} + {}", "{} - {}", "{} * 2 + {}", "({}) // 2", "({}) % 3", "min({}, {})", "max({}, {})"])
    return "(" + form.format(left, right) + ")"


def random_condition(chance: random.Random) -> str:
    def one() -> str:
        left, right = random_index(chance, 1), random_index(chance, 1)
        return f"{left} {chance.choice(['<', '<=', '==', '>=', '!='])} {right}"

    return chance.choice([one(), f"{one()} and {one()}", f"{one()} or {one()}", f"not ({one()})"])


@pytest.mark.parametrize("seed", range(60))
def test_nothing_wrong_is_proved(seed: int) -> None:
    """Whatever is accepted without a check stays inside for all small shapes and points where it is evaluated."""
    chance = random.Random(seed)
    subscript = random_index(chance, 2)
    condition = random_condition(chance)
    header = "kernel f[M, N](x: f32[M], v: f32[N]) -> (y: f32[M, N]):\n"
    text = f"{header}    y[i, j] = x[{subscript}] if {condition} else 0\n"
    try:
        found = kernel(text)
    except SourceErrors as errors:
        assert {e.code for e in errors.diagnostics} <= {"TW0501", "TW0502"}  # noqa: PT017
        assert any(_leaves(subscript, condition)) or not errors.diagnostics[0].found
        return
    accepted = not reads(found, "x") or set(reads(found, "x")[0].access) <= {PROVED, GUARDED}
    if accepted:
        assert not any(_leaves(subscript, condition))


def _leaves(subscript: str, condition: str) -> list[bool]:
    """For every small shape and point at which the condition holds: whether the subscript is outside."""
    where, at = (compile(text, "<test>", "eval") for text in (condition, subscript))
    points = (
        {"M": m, "N": n, "i": i, "j": j}
        for m, n in itertools.product(range(10), repeat=2)
        for i in range(m)
        for j in range(n)
    )
    held = [dict(p, min=min, max=max) for p in points if eval(where, dict(p, min=min, max=max))]
    return [not 0 <= eval(at, p) < p["M"] for p in held]


def test_read_of_a_table_is_proved() -> None:
    table = "    t = [[1, 2, 3], [4, 5, 6]]\n"
    text = f"kernel f[N](x: f32[N]) -> (y: f32[N]):\n{table}    y[i] = sum[a, b](t[a, b]) * t[i % 2, 2] * x[i]\n"
    assert {read.access for read in reads(kernel(text), "t")} == {(PROVED, PROVED)}


def test_writes_are_checked() -> None:
    text = "kernel f[N](x: f32[N]) -> (y: f32[N + 1]):\n    y[i + 1] = x[i]\n"
    assert kernel(text).statements[0].scatter
    assert codes("kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i + 1] = x[i]\n") == ["TW0504"]
    assert codes("kernel f[N](x: f32[N]) -> (y: f32[N]):\n    y[i + 1] = x[i] where i + 1 < N\n") == []
