"""What happens around a pass: verifying, levels, printing, dumps, stopping, timing, and judging by the interpreters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.ir.programs import GEMM, SOFTMAX
from tilewright.dialect import ods
from tilewright.dialect.faults import IllegalOp, InternalFault, PassFault
from tilewright.dialect.printing import dump, parse_module
from tilewright.passes.base import Instrument, NativePass, Pass, Record, Stopped, run_passes
from tilewright.passes.names import UnknownPass, build_pipeline, require_known
from tilewright.passes.semantics import Case, Result, compare, random_cases, random_values, run_case, semantics_of


@dataclass(frozen=True)
class Replace(Pass):
    """Rewrites the text of the module: a pass that can be as wrong as a test wants."""

    name: ClassVar[str] = "replace"
    result_level: ClassVar[str | None] = "tensor"
    old: str = ""
    new: str = ""
    count: int = 0
    all: bool = True

    def run(self, module: Any) -> Any:
        return parse_module(dump(module).replace(self.old, self.new)) if self.old else module


@dataclass(frozen=True)
class Break(Pass):
    """Leaves IR that does not verify."""

    name: ClassVar[str] = "break"

    def run(self, module: Any) -> Any:
        ods.ops_of(ods.ops_of(module.body)[0].regions[0].blocks[0])[-1].erase()
        return module


KNOWN: dict[str, type[Pass]] = {"replace": Replace, "break": Break}
SIZES = [{"M": 3, "N": 5}, {"M": 2, "N": 1}]


def judged(module: Any) -> Instrument:
    return Instrument(semantics=semantics_of("softmax", random_cases(module, "softmax", SIZES, seed=1)))


def test_right_passes_are_let_through() -> None:
    with ods.session():
        module = parse_module(SOFTMAX)
        steps = [NativePass("cse", "tensor"), Replace(), NativePass("canonicalize,symbol-dce", "tensor")]
        run_passes(module, steps, judged(module))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("math.exp ", "math.exp2 "),
        ("arith.divf", "arith.mulf"),
        ('kinds = ["add"]', 'kinds = ["max"]'),
        ("affine_map<(d0, d1)[s0, s1] -> ()>", "affine_map<(d0, d1)[s0, s1] -> (s1 - 2 - d1)>"),
    ],
)
def test_a_wrong_pass_is_named(old: str, new: str) -> None:
    with ods.session():
        module = parse_module(SOFTMAX)
        assert old in dump(module)
        wrong = [NativePass("cse"), Replace(old, new), NativePass("canonicalize")]
        with pytest.raises(
            PassFault, match="pass replace changed what the program means: case 0: output 'y' differs at"
        ):
            run_passes(module, wrong, judged(module))


def test_a_pass_that_reads_outside_is_caught_by_the_interpreter() -> None:
    with ods.session():
        module = parse_module(SOFTMAX)
        text = dump(module)
        bad = re.sub(r"extents = #map\d*", "extents = affine_map<()[s0, s1] -> (s0, s1 + 1)>", text)
        with pytest.raises(InternalFault, match="subscript 1 is 5, outside"):
            run_passes(module, [Replace(text, bad)], judged(module))


def test_invalid_ir_after_a_pass_names_the_pass() -> None:
    with ods.session(), pytest.raises(PassFault, match="pass break left IR that does not verify"):
        run_passes(parse_module(SOFTMAX), [Break()])


def test_the_level_of_the_result_is_checked() -> None:
    with ods.session():
        with pytest.raises(IllegalOp, match="tile level"):
            run_passes(parse_module(SOFTMAX), [NativePass("cse", "tile")])
        run_passes(parse_module(SOFTMAX), [NativePass("cse", "tile")], Instrument(levels=False))


def test_changes_are_printed_and_dumped(tmp_path: Path) -> None:
    told: list[str] = []
    record = Record()
    instrument = Instrument(print_changed=told.append, folder=tmp_path / "ir", record=record)
    with ods.session():
        run_passes(parse_module(SOFTMAX), [Replace("math.exp ", "math.exp2 "), Replace()], instrument)
    assert told[0].startswith("// after replace\n") and "math.exp2" in told[0]
    assert told[1] == "// after replace (unchanged)"
    files = sorted(path.name for path in (tmp_path / "ir").iterdir())
    assert files == ["00-replace.mlir", "01-replace.mlir"]
    assert "math.exp2" in (tmp_path / "ir" / files[0]).read_text()
    assert record.changed == [("replace", True), ("replace", False)]
    assert [title for title, _ in record.seconds] == ["replace", "replace"]
    assert all(seconds >= 0 for _, seconds in record.seconds)


def test_stopping_after_a_pass_hands_over_the_module() -> None:
    steps = [NativePass("cse"), Replace("math.exp ", "math.exp2 "), Break()]
    with ods.session(), pytest.raises(Stopped) as stopped:
        run_passes(parse_module(SOFTMAX), steps, Instrument(stop_after="replace"))
    with ods.session():
        assert stopped.value.title == "replace" and "math.exp2" in dump(stopped.value.module)


def test_native_passes() -> None:
    text = 'func.func @f(%x: i32) { %y = arith.addi %x, %x : i32 loc("a.tw":2:3)\n return }'
    with ods.session():
        assert "llvm.add" in dump(run_passes(parse_module(text), [NativePass("convert-arith-to-llvm")]))
        with pytest.raises(InternalFault, match="no pass pipeline 'no-such-pass'"):
            NativePass("no-such-pass")


def test_pipelines_by_name() -> None:
    with ods.session():
        steps = build_pipeline("replace{old=a new=b count=3 all=false}, cse, canonicalize{max-iterations=2}", KNOWN)
    assert steps == [Replace("a", "b", 3, False), NativePass("cse"), NativePass("canonicalize{max-iterations=2}")]
    assert build_pipeline("", KNOWN) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("replce", "no pass 'replce'; did you mean 'replace'"),
        ("canonicalise", "did you mean 'canonicalize'"),
        ("replace{odl=a}", "has no option 'odl=a'; did you mean 'old"),
        ("replace{old}", "has no option 'old'"),
        ("xyz", "known: break, canonicalize"),
        ("cse; cse", "a pipeline is written"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(text: str, message: str) -> None:
    with ods.session(), pytest.raises(UnknownPass) as refused:
        build_pipeline(text, KNOWN)
    assert message in str(refused.value)


def test_a_stop_at_an_unknown_pass_is_refused() -> None:
    with ods.session():
        require_known("cse", [NativePass("cse")])
        with pytest.raises(UnknownPass, match="no pass 'csee' in this pipeline; did you mean 'cse'"):
            require_known("csee", [NativePass("cse")])


def test_both_levels_run_as_cases() -> None:
    generator = np.random.default_rng(3)
    a, b = (random_values(generator, shape, "f32", integers=True) for shape in ((3, 4), (4, 5)))
    with ods.session():
        result = run_case(parse_module(GEMM), "gemm", Case({"M": 3, "N": 5, "K": 4}, {"a": a, "b": b}))
    assert not result.failed and np.array_equal(result.outputs["c"], a.astype(np.float64) @ b)


def test_comparison() -> None:
    one = Result({"y": np.array([1.0, np.nan, 1e6])})
    assert compare(one, Result({"y": np.array([1.0 + 1e-9, np.nan, 1e6])})) is None
    assert "differs at (0,)" in str(compare(one, Result({"y": np.array([1.1, np.nan, 1e6])})))
    assert "differs at (1,)" in str(compare(one, Result({"y": np.array([1.0, 0.0, 1e6])})))
    assert "shape" in str(compare(one, Result({"y": np.zeros(2)})))
    assert "outputs" in str(compare(one, Result({"z": np.zeros(2)})))
    assert compare(Result({"y": np.array([1])}), Result({"y": np.array([2])})) is not None


def test_comparison_of_failed_checks() -> None:
    one, other = {"y": np.array([1.0])}, {"y": np.array([2.0])}
    assert compare(Result(one, failed=True), Result(one)) is None
    assert "(a run-time check failed before and none after)" in str(compare(Result(one, failed=True), Result(other)))
    assert "a result before, a run-time check failed after" in str(compare(Result(one), Result(one, failed=True)))


@pytest.mark.parametrize("dtype", ["bool", "i8", "u8", "i64", "f16", "bf16", "f32"])
def test_random_values(dtype: str) -> None:
    values = random_values(np.random.default_rng(0), (200,), dtype, integers=True)
    assert values.shape == (200,) and len(np.unique(values.astype(np.float64))) >= 2
    assert np.abs(values.astype(np.float64)).max() <= 4
