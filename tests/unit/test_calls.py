"""Calls of compiled kernels: what is refused, what is computed, what a repeated call costs; no compiler involved."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime.arguments import check_call
from tilewright.runtime.errors import CallError
from tilewright.runtime.launch import Frame, Placed, Program, Step
from tilewright.runtime.plan import (
    Argument,
    DimBinding,
    DimSolution,
    Launch,
    LaunchCheck,
    Operand,
    Plan,
    Table,
    Workspace,
)
from tilewright.runtime.sizes import Number, Operation, Symbol, ceil_div
from tilewright.runtime.views import TensorView, as_numpy, view_of
from tilewright.runtime.workspace import Buffer, WorkspacePool, kept

M, N = Symbol("M"), Symbol("N")


@dataclass
class NumpyEngine:
    """Launches are Python functions on NumPy arrays, scalars' bits and dims."""

    functions: dict[str, Callable[..., None]]
    device: str = "cpu"
    runs: list[str] = field(default_factory=list)
    pool: WorkspacePool = field(default_factory=WorkspacePool)

    def bind(self, step: Step) -> Callable[[Frame], None]:
        def run(frame: Frame) -> None:
            self.runs.append(step.launch.name)
            self.functions[step.launch.name](*(self._operand(item, frame) for item in step.operands))

        return run

    def _operand(self, item: Any, frame: Frame) -> Any:
        if not isinstance(item, Placed):
            return item.constant if item.source is None else frame[item.source]
        return as_numpy(TensorView(frame[item.source], item.shape, item.strides, item.dtype, item.written, "cpu", None))

    def take(self, size: int) -> Buffer:
        return self.pool.take(size)

    def keep(self, content: bytes) -> Buffer:
        return kept(content)

    def give(self, workspace: Buffer) -> None:
        self.pool.give(workspace)


def tensors(*names: str) -> tuple[Operand, ...]:
    return tuple(Operand("tensor", name) for name in names)


def scale_plan(layout: str = "row", facts: tuple[str, ...] = ()) -> Plan:
    """y[i, j] = a * x[i, j] in two launches with a workspace between them; N must be at least 2."""
    return Plan(
        kernel="scale",
        dims=("M", "N"),
        arguments=(
            Argument("x", "in", "f32", (M, N), layout),
            Argument("w", "in", "f32", (N,)),
            Argument("a", "scalar", "f32", default=2.0),
            Argument("y", "out", "f32", (M, N)),
        ),
        bindings=(DimBinding("M", "x", 0), DimBinding("N", "x", 1)),
        checks=(LaunchCheck(Operation(">=", (N, Number(2))), "N >= 2", "TW1006"),),
        workspaces=(Workspace("t", "f32", (M, N)),),
        launches=(
            Launch("copy", tensors("x", "t"), (ceil_div(M, 4),), facts=facts),
            Launch("times", (*tensors("t", "w", "y"), Operand("scalar", "a"), Operand("dim", "N")), (M,)),
        ),
    )


def scale_engine() -> NumpyEngine:
    def copy(x: Any, t: Any) -> None:
        t[...] = x

    def times(t: Any, w: Any, y: Any, a: int, extent: int) -> None:
        assert extent == t.shape[1]
        y[...] = t * np.uint32(a).view(np.float32) + w

    return NumpyEngine({"copy": copy, "times": times})


@pytest.fixture
def scale() -> Program:
    return Program(scale_plan(), scale_engine())


def data(shape: tuple[int, ...] = (3, 4), dtype: Any = np.float32) -> Any:
    return np.random.default_rng(7).integers(-8, 8, shape).astype(dtype)


def refused(code: str, argument: str, call: Callable[[], Any]) -> CallError:
    with pytest.raises(CallError) as caught:
        call()
    assert (caught.value.code, caught.value.argument) == (code, argument)
    return caught.value


def test_call_by_position_and_by_name(scale: Program) -> None:
    x, w = data(), data((4,))
    np.testing.assert_array_equal(scale(x, w), 2 * x + w)
    np.testing.assert_array_equal(scale(x, w=w, a=3.0), 3 * x + w)
    np.testing.assert_array_equal(scale(x, w, np.float64(-1)), w - x)


def test_out_is_written_and_returned(scale: Program) -> None:
    x, w = data(), data((4,))
    y = np.full_like(x, np.nan)
    assert scale(x, w, out=y) is y
    np.testing.assert_array_equal(y, 2 * x + w)
    assert scale(x, w, out={"y": y}) is y and scale(x, w, out=(y,)) is y


def test_read_only_input_is_fine(scale: Program) -> None:
    x, w = data(), data((4,))
    x.flags.writeable = False
    np.testing.assert_array_equal(scale(x, w), 2 * x + w)


def test_names(scale: Program) -> None:
    x, w = data(), data((4,))
    refused("TW1001", "w", lambda: scale(x))
    refused("TW1001", "z", lambda: scale(x, w, z=1))
    refused("TW1001", "x", lambda: scale(x, w, x=x))
    refused("TW1001", "", lambda: scale(x, w, 1.0, 2.0))


@pytest.mark.parametrize(
    ("code", "argument", "x", "w"),
    [
        ("TW1002", "x", [[1.0]], data((4,))),
        ("TW1004", "x", data(dtype=np.float64), data((4,))),
        ("TW1004", "x", data(dtype=np.complex64), data((4,))),
        ("TW1004", "x", data(dtype=">f4"), data((4,))),
        ("TW1003", "w", data(), data((4, 1))),
        ("TW1003", "x", data((3,)), data((4,))),
        ("TW1005", "w", data(), data((5,))),
        ("TW1008", "x", data((4, 3)).T, data((4,))),
        ("TW1008", "x", data((3, 8))[:, ::2], data((4,))),
        ("TW1008", "x", data()[:, ::-1], data((4,))),
        ("TW1008", "w", data(), np.broadcast_to(np.float32(1), (4,))),
    ],
)
def test_bad_inputs_are_refused_before_anything_runs(code: str, argument: str, x: Any, w: Any) -> None:
    engine = scale_engine()
    refused(code, argument, lambda: Program(scale_plan(), engine)(x, w))
    assert engine.runs == []


def test_unmet_require_names_the_dim(scale: Program) -> None:
    error = refused("TW1006", "", lambda: scale(data((3, 1)), data((1,))))
    assert "N = 1" in error.found and "N >= 2" in error.expected


def test_shape_clash_says_where_the_dim_came_from(scale: Program) -> None:
    error = refused("TW1005", "w", lambda: scale(data(), data((5,))))
    assert "N = 4 from x" in error.expected


def test_bad_outputs(scale: Program) -> None:
    x, w = data(), data((4,))
    locked = np.empty_like(x)
    locked.flags.writeable = False
    refused("TW1009", "y", lambda: scale(x, w, out=locked))
    refused("TW1008", "y", lambda: scale(x, w, out=np.empty((4, 3), np.float32).T))
    refused("TW1005", "y", lambda: scale(x, w, out=np.empty((3, 5), np.float32)))
    refused("TW1011", "out", lambda: scale(x, w, out=(locked, locked)))
    refused("TW1011", "out", lambda: scale(x, w, out={"z": locked}))


def test_overlap_is_refused_on_every_call(scale: Program) -> None:
    x, w = data(), data((4,))
    memory = np.zeros(100, np.float32)
    scale(x, w, out=memory[:12].reshape(3, 4))
    refused("TW1007", "y", lambda: scale(x, w, out=x))
    refused("TW1007", "y", lambda: scale(memory[:12].reshape(3, 4), w, out=memory[8:20].reshape(3, 4)))
    scale(memory[:12].reshape(3, 4), w, out=memory[12:24].reshape(3, 4))


def test_interleaved_strided_tensors_do_not_overlap() -> None:
    plan = Plan(
        "copy", ("N",), (Argument("x", "in", "f32", (N,), "strided"), Argument("y", "out", "f32", (N,), "strided")),
        (DimBinding("N", "x", 0),), launches=(Launch("copy", tensors("x", "y"), (N,)),),
    )  # fmt: skip
    copy = Program(plan, NumpyEngine({"copy": lambda x, y: np.copyto(y, x)}))
    memory = np.arange(10, dtype=np.float32)
    copy(memory[::2], out=memory[1::2])
    np.testing.assert_array_equal(memory, [0, 0, 2, 2, 4, 4, 6, 6, 8, 8])
    refused("TW1007", "y", lambda: copy(memory[:5], out=memory[1::2]))
    refused("TW1008", "y", lambda: copy(memory[:5], out=np.lib.stride_tricks.as_strided(memory, (5,), (0,))))


@pytest.mark.parametrize("shape", [(0, 4), (0, 2)])
def test_empty_tensors_launch_nothing_and_have_their_shape(shape: tuple[int, ...]) -> None:
    engine = scale_engine()
    assert Program(scale_plan(), engine)(np.empty(shape, np.float32), data(shape[1:])).shape == shape
    assert engine.runs == []


@pytest.mark.parametrize("bad", ["1", None, 1e39, [1.0], 1j, np.zeros(2)])
def test_scalar_of_wrong_kind_or_range(scale: Program, bad: Any) -> None:
    refused("TW1010", "a", lambda: scale(data(), data((4,)), a=bad))


def seen_bits(dtype: str) -> tuple[Program, list[int]]:
    seen: list[int] = []
    plan = Plan("k", (), (Argument("a", "scalar", dtype), Argument("y", "out", "f32", ())),
                launches=(Launch("k", (Operand("scalar", "a"),), ()),))  # fmt: skip
    return Program(plan, NumpyEngine({"k": seen.append})), seen


@pytest.mark.parametrize(("dtype", "good", "bits", "bad"), [
    ("i8", -128, 0x80, 128), ("u8", 255, 0xFF, -1), ("i64", -(2**63), 1 << 63, 2**63),
    ("bool", True, 1, 2), ("u32", 2**32 - 1, 0xFFFFFFFF, 2**32),
])  # fmt: skip
def test_integer_scalars_at_both_sides_of_the_limit(dtype: str, good: int, bits: int, bad: int) -> None:
    program, seen = seen_bits(dtype)
    program(good)
    assert seen == [bits]
    refused("TW1010", "a", lambda: program(bad))
    refused("TW1010", "a", lambda: program(1.0))


@pytest.mark.parametrize("dtype", ["f16", "bf16", "f8e4m3", "f8e5m2", "f64"])
def test_narrow_float_scalars_round_to_nearest_even(dtype: str) -> None:
    kinds = {"f16": np.float16, "bf16": ml_dtypes.bfloat16, "f8e4m3": ml_dtypes.float8_e4m3fn,
             "f8e5m2": ml_dtypes.float8_e5m2, "f64": np.float64}  # fmt: skip
    program, seen = seen_bits(dtype)
    program(1.7)
    assert seen == [int.from_bytes(np.array(1.7).astype(kinds[dtype]).tobytes(), "little")]


def test_facts_are_checked_for_each_kind_of_call() -> None:
    program = Program(scale_plan(facts=("N % 4 == 0", "align(x) >= 16", "index32")), scale_engine())
    program(data(), data((4,)))
    refused("TW1017", "", lambda: program(data((3, 6)), data((6,))))
    memory = np.zeros(100, np.float32)
    offset = next(i for i in range(4) if memory[i:].ctypes.data % 16)
    refused("TW1017", "", lambda: program(memory[offset : offset + 12].reshape(3, 4), data((4,))))


@pytest.mark.parametrize("made", ["output", "workspace"])
def test_indices_of_32_bits_must_reach_what_a_call_makes_itself(made: str) -> None:
    """Neither tensor that is given is large; their product is."""
    large, small = (M, N), (M,)
    plan = Plan(
        "outer", ("M", "N"),
        (Argument("x", "in", "f32", (M,)), Argument("w", "in", "f32", (N,)),
         Argument("y", "out", "f32", large if made == "output" else small)),
        (DimBinding("M", "x", 0), DimBinding("N", "w", 0)),
        workspaces=(Workspace("t", "f32", large),) if made == "workspace" else (),
        launches=(Launch("outer", tensors("x", "w", "y"), (M,), facts=("index32",)),),
    )  # fmt: skip

    def check(rows: int, columns: int) -> None:
        views = {"x": view_of(np.zeros(rows, np.int8), "x"), "w": view_of(np.zeros(columns, np.int8), "w")}
        check_call(plan, {name: replace(view, dtype="f32") for name, view in views.items()}, "cpu")

    check(1 << 16, 1 << 15)
    refused("TW1017", "", lambda: check((1 << 16) + 1, 1 << 15))


def test_several_outputs_are_a_named_tuple_and_solved_dims() -> None:
    twice = Operation("*", (Number(2), N))
    plan = Plan(
        "both", ("N", "P"),
        (Argument("x", "in", "f32", (N,)), Argument("y", "out", "f32", (Symbol("P"),)),
         Argument("z", "out", "i32", ())),
        (DimBinding("N", "x", 0),), (DimSolution("P", twice),),
        launches=(Launch("both", tensors("x", "y", "z"), (N,)),),
    )  # fmt: skip

    def both(x: Any, y: Any, z: Any) -> None:
        y[...] = np.concatenate([x, x])
        z[...] = len(x)

    result = Program(plan, NumpyEngine({"both": both}))(data((5,)))
    assert result._fields == ("y", "z") and result.y.shape == (10,) and result.z == 5


def test_binding_with_scale_and_offset() -> None:
    odd = Operation("+", (Operation("*", (Number(2), N)), Number(1)))
    plan = Plan("k", ("N",), (Argument("x", "in", "f32", (odd,)), Argument("y", "out", "f32", (N,))),
                (DimBinding("N", "x", 0, scale=2, offset=1),),
                launches=(Launch("k", tensors("x", "y"), (N,)),))  # fmt: skip
    program = Program(plan, NumpyEngine({"k": lambda x, y: np.copyto(y, x[1::2])}))
    assert program(np.arange(7, dtype=np.float32)).tolist() == [1, 3, 5]
    refused("TW1005", "x", lambda: program(np.zeros(6, np.float32)))
    refused("TW1005", "x", lambda: program(np.zeros(0, np.float32)))


def test_column_major_argument_and_output() -> None:
    plan = Plan("k", ("M", "N"), (Argument("x", "in", "f32", (M, N), "order(1, 0)"),
                                  Argument("y", "out", "f32", (M, N), "order(1, 0)")),
                (DimBinding("M", "x", 0), DimBinding("N", "x", 1)),
                launches=(Launch("k", tensors("x", "y"), (M,)),))  # fmt: skip
    program = Program(plan, NumpyEngine({"k": lambda x, y: np.copyto(y, x)}))
    x = np.asfortranarray(data())
    y = program(x)
    assert y.flags.f_contiguous
    np.testing.assert_array_equal(x, y)
    refused("TW1008", "x", lambda: program(data()))
    program(data((3, 1)))  # dense in both orders


def test_constant_tables_reach_their_launch() -> None:
    table = Table("c", "f32", (4,), base64.b64encode(np.arange(4, dtype=np.float32).tobytes()).decode())
    plan = Plan("k", ("N",), (Argument("x", "in", "f32", (N,)), Argument("y", "out", "f32", (N,))),
                (DimBinding("N", "x", 0),), tables=(table,),
                launches=(Launch("k", tensors("x", "c", "y"), (N,)),))  # fmt: skip
    program = Program(plan, NumpyEngine({"k": lambda x, c, y: np.copyto(y, x + c)}))
    assert program(np.ones(4, np.float32)).tolist() == [1, 2, 3, 4]


class Exported:
    """An array of another framework: DLPack only, and a namespace to come back to."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __array_namespace__(self) -> type[Exported]:
        return Exported

    @staticmethod
    def from_dlpack(array: Any) -> Exported:
        return Exported(np.from_dlpack(array))


def test_dlpack_objects_go_in_and_out(scale: Program) -> None:
    x, w = data(), data((4,))
    y = scale(Exported(x), Exported(w))
    assert isinstance(y, Exported)
    np.testing.assert_array_equal(y.array, 2 * x + w)


def test_dlpack_says_read_only(scale: Program) -> None:
    x, w = data(), data((4,))
    locked = np.empty_like(x)
    locked.flags.writeable = False
    refused("TW1009", "y", lambda: scale(x, w, out=Exported(locked)))


def test_threads_call_one_program_at_once(scale: Program) -> None:
    w = data((4,))
    wrong: list[int] = []

    def work(seed: int) -> None:
        x = np.random.default_rng(seed).standard_normal((3 + seed, 4)).astype(np.float32)
        for _ in range(50):
            if not np.array_equal(scale(x, w), np.float32(2) * x + w):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_repeated_call_costs_microseconds() -> None:
    plan = Plan("k", ("N",), (Argument("x", "in", "f32", (N,)), Argument("a", "scalar", "f32"),
                              Argument("y", "out", "f32", (N,))),
                (DimBinding("N", "x", 0),), launches=(Launch("k", tensors("x", "y"), (N,)),))  # fmt: skip
    engine = NumpyEngine({"k": lambda x, y: None})
    engine.bind = lambda step: lambda frame: None  # type: ignore[method-assign]
    program, x = Program(plan, engine), np.zeros(8, np.float32)
    program(x, 1.0)

    def cost(call: Callable[[], Any]) -> float:
        start = time.process_time()
        for _ in range(1000):
            call()
        return time.process_time() - start

    rounds = [(cost(lambda: program(x, 1.0)), cost(lambda: np.empty(8, np.float32))) for _ in range(7)]
    ratio = min(call / unit for call, unit in rounds)
    assert ratio < 60, f"a call costs {ratio:.0f} times numpy.empty (which is about 0.2 µs on an idle core)"
