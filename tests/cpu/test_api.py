"""The front doors in Python: ``jit``, ``load``, ``compile``, files, threads, what is compiled when, what is refused."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import tilewright as tw
from tilewright.compiler import driver, jobs, pipeline
from tilewright.compiler.jit import JitKernel
from tilewright.compiler.jobs import CompilerFault, Job
from tilewright.compiler.worker import Worker, WorkerFailed
from tilewright.dialect.faults import InternalFault
from tilewright.runtime.switches import Switches

ROOT = Path(__file__).resolve().parents[2]
SCALE = "kernel scale<T: float>[N](x: T[N]; a: f32) -> (y: T[N]):\n    y[i] = a * x[i]\n"
SOFTMAX = """kernel softmax<T: float>[M, N](x: T[M, N]) -> (y: T[M, N]):
    y[i, j] = exp(x[i, j] - max[j](x[i, j])) / sum[j](exp(x[i, j] - max[j](x[i, j])))
"""
GEMM = """kernel gemm<T: float>[M, N, K](a: T[M, K], b: T[K, N]) -> (y: T[M, N]):
    y[i, j] = sum[k](a[i, k] * b[k, j])
"""
GATHER = "kernel pick[N, M](x: f32[N], at: i32[M]) -> (y: f32[M]):\n    y[i] = x[at[i]]\n"


def softmax(x: Any) -> Any:
    shifted = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def data(*shape: int, dtype: Any = np.float32, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def test_jit_of_an_elementwise_kernel() -> None:
    x = data(1000)
    k = tw.jit(SCALE)
    np.testing.assert_array_equal(k(x, a=2.0), 2 * x)
    out = np.empty_like(x)
    assert k(x, a=-1.0, out=out) is out
    np.testing.assert_array_equal(out, -x)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-14), (np.float16, 2e-3),
                                                  (ml_dtypes.bfloat16, 2e-2)])  # fmt: skip
def test_softmax_for_each_float_type(dtype: Any, tolerance: float) -> None:
    x = data(5, 37, dtype=dtype)
    y = tw.jit(SOFTMAX)(x)
    assert y.dtype == x.dtype and y.shape == x.shape
    np.testing.assert_allclose(y.astype(np.float64), softmax(x.astype(np.float64)), rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (64, 64, 64), (97, 131, 17), (1, 200, 33), (200, 1, 33)])
def test_gemm_on_small_integers_is_exact(shape: tuple[int, int, int]) -> None:
    m, n, k = shape
    generator = np.random.default_rng(1)
    a, b = (generator.integers(-4, 5, size).astype(np.float32) for size in ((m, k), (k, n)))
    np.testing.assert_array_equal(tw.jit(GEMM)(a, b), a @ b)


def test_a_sum_over_nothing_is_zero() -> None:
    y = tw.jit(GEMM)(np.empty((3, 0), np.float32), np.empty((0, 4), np.float32))
    np.testing.assert_array_equal(y, np.zeros((3, 4), np.float32))


def test_transposed_and_strided_inputs_are_specialised_on() -> None:
    kernel = tw.jit(GEMM)
    a, b = data(33, 20), data(45, 20, seed=1)
    np.testing.assert_allclose(kernel(a, b.T), a @ b.T, rtol=1e-5, atol=1e-5)
    wide = data(33, 60)
    np.testing.assert_allclose(kernel(wide[:, ::3], b.T), wide[:, ::3] @ b.T, rtol=1e-5, atol=1e-5)
    assert kernel.compilations == 2


@pytest.mark.parametrize("target", [{}, {"target": "sm_80", "device": "emulator"}], ids=["cpu", "sm_80"])
def test_outputs_may_lie_as_the_caller_likes(target: dict[str, str]) -> None:
    """A slice, a transposed tensor, every other column: each gets code of its own, and nothing around it is touched."""
    kernel, x = tw.jit(SOFTMAX), data(4, 6)
    expected = kernel(x, **target)
    for place in (lambda whole: whole[1:5, 3:9], lambda whole: whole[:6, 4:8].T, lambda whole: whole[:4, 1:13:2]):
        whole = np.full((7, 13), 5.0, np.float32)
        assert kernel(x, out=place(whole), **target).base is whole
        np.testing.assert_array_equal(place(whole), expected)
        place(whole)[:] = 5
        assert (whole == 5).all()
    assert kernel.compilations <= 3


def test_many_shapes_need_few_compilations() -> None:
    kernel, generator = tw.jit(GEMM), np.random.default_rng(3)
    for _ in range(60):
        m, n, k = generator.integers(1, 40, 3)
        a, b = data(m, k), data(k, n)
        np.testing.assert_allclose(kernel(a, b), a @ b, rtol=1e-4, atol=1e-4)
    assert kernel.compilations <= 4


def test_load_gives_kernels_as_attributes(tmp_path: Path) -> None:
    path = tmp_path / "two.tw"
    path.write_text(SCALE + "\n" + SOFTMAX)
    kernels = tw.load(path)
    assert list(kernels) == ["scale", "softmax"]
    np.testing.assert_allclose(kernels.softmax(data(3, 5)).sum(1), 1, rtol=1e-6)
    with pytest.raises(AttributeError, match="it has scale, softmax"):
        kernels.relu  # noqa: B018


def test_several_outputs_and_consts() -> None:
    kernel = tw.jit(
        "kernel both[N](x: f32[N]; const twice: bool = false) -> (y: f32[N], total: f32):\n"
        "    y[i] = x[i] * (2 if twice else 1)\n    total = sum[i](x[i])\n"
    )
    x = np.arange(5, dtype=np.float32)
    result = kernel(x, twice=True)
    assert result._fields == ("y", "total") and result.total == 10
    np.testing.assert_array_equal(result.y, 2 * x)
    np.testing.assert_array_equal(kernel(x).y, x)
    np.testing.assert_array_equal(kernel(x, twice=np.bool_(True)).y, 2 * x)
    assert kernel.compilations == 2
    for bad in ([True], 2, "yes", None):
        with pytest.raises(tw.CallError) as caught:
            kernel(x, twice=bad)
        assert caught.value.argument == "twice"


def test_compile_needs_no_data_and_shows_everything(tmp_path: Path) -> None:
    compiled = tw.compile(SOFTMAX, kernel="softmax", target="cpu", types={"T": "f32"}, dims={"N": 64})
    assert "tw.fold" in compiled.ir("tensor") and "tile.load" in compiled.ir("tile")
    assert "tile j=" in compiled.schedule and "softmax" in str(compiled.plan) and "define" in compiled.ir("llvm")
    assert ".text" in compiled.asm
    path = tmp_path / "softmax.twk"
    compiled.save(path)
    loaded = tw.load(path)
    x = data(9, 64)
    np.testing.assert_allclose(loaded(x), softmax(x), rtol=1e-6, atol=1e-7)
    with pytest.raises(tw.CallError) as caught:
        loaded(data(9, 65))
    assert caught.value.code == "TW1018"


def test_artifact_runs_without_the_compiler(tmp_path: Path) -> None:
    path = tmp_path / "scale.twk"
    tw.compile(SCALE, types={"T": "f32"}).save(path)
    code = f"""
import sys, numpy as np
from pathlib import Path
from tilewright.runtime.artifact import load
from tilewright.runtime.loading import program_for
y = program_for(load(Path({str(path)!r})), "cpu")(np.ones(5, np.float32), a=3.0)
assert y.tolist() == [3.0] * 5, y
bad = [name for name in sys.modules if "mlir" in name or name.startswith(("tilewright.compiler", "tilewright.passes"))]
assert not bad, bad
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_compiling_twice_gives_the_same_bytes() -> None:
    switches = Switches(cache=False)
    first = tw.compile(SOFTMAX, types={"T": "f32"}, switches=switches)
    second = tw.compile(SOFTMAX, types={"T": "f32"}, switches=switches)
    assert first.artifact.to_bytes() == second.artifact.to_bytes()


def test_disk_cache_is_used_and_survives_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches(cache_dir=tmp_path / "cache")
    x = data(4)
    tw.jit(SCALE, switches=switches)(x, a=2.0)
    (entry,) = (tmp_path / "cache").glob("*.entry")
    monkeypatch.setattr(pipeline, "compile_typed", _not_again)
    np.testing.assert_array_equal(tw.jit(SCALE, switches=switches)(x, a=2.0), 2 * x)
    monkeypatch.undo()
    entry.write_bytes(entry.read_bytes()[:-1] + b"?")
    np.testing.assert_array_equal(tw.jit(SCALE, switches=switches)(x, a=2.0), 2 * x)


def _not_again(*arguments: Any) -> Any:
    raise AssertionError("compiled although it was in the cache")


def test_key_covers_what_changes_code() -> None:
    loaded = driver.program(SOFTMAX)

    def key(text: str = SOFTMAX, switches: Switches | None = None, **parts: Any) -> str:
        job = Job(driver.program(text), "softmax", parts.pop("instance", _f32()), **parts)
        known = switches or Switches()
        return jobs.cache_key(job, job.typed(), jobs.find("cpu", known), known)

    base = key()
    assert key() == base and loaded.kernel("softmax").name == "softmax"
    others = [
        key(text="\n" + SOFTMAX),
        key(text=SOFTMAX.replace("- max[j]", "+ max[j]", 1)),
        key(instance=driver.instance_of(loaded.kernel(None), {"T": "f16"}, {})),
        key(layouts=(("x", "order(1, 0)"),)),
        key(dims=(("N", 8),)),
        key(switches=Switches(cpu="x86-64")),
        key(switches=Switches(check=True)),
        key(switches=Switches(mlir="mlir")),
        key(settings=jobs.Settings(disabled=frozenset({"fuse"}))),
        key(settings=jobs.Settings(facts=("index32",))),
    ]
    assert len({base, *others}) == len(others) + 1


def _f32() -> Any:
    return driver.instance_of(driver.program(SOFTMAX).kernel(None), {"T": "f32"}, {})


def test_threads_compile_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = pipeline.compile_typed

    def counted(*arguments: Any) -> Any:
        made.append(1)
        return real(*arguments)

    monkeypatch.setattr(pipeline, "compile_typed", counted)
    kernel, x = tw.jit(SOFTMAX, switches=Switches(cache=False)), data(20, 50)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(kernel(x))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1 and len(results) == 6
    assert all(np.array_equal(result, results[0]) for result in results)


def test_more_threads_give_the_same_bits() -> None:
    x = data(2048, 512)
    one = tw.jit(SOFTMAX, switches=Switches(threads=1))(x)
    kernel = tw.jit(SOFTMAX, switches=Switches(threads=3))
    for _ in range(3):
        np.testing.assert_array_equal(kernel(x), one)


@pytest.mark.parametrize("name", ["axes", "common", "fuse", "bounds"])
def test_each_optional_pass_can_be_left_out(name: str) -> None:
    x = data(6, 33)
    compiled = tw.compile(SOFTMAX, types={"T": "f32"}, disable=[name])
    np.testing.assert_allclose(compiled(x), softmax(x), rtol=1e-6, atol=1e-7)


def test_passes_are_judged_when_asked() -> None:
    kernel = tw.jit(SOFTMAX, switches=Switches(cache=False, verify_passes=True))
    np.testing.assert_allclose(kernel(data(3, 4)).sum(1), 1, rtol=1e-6)


def test_bad_calls_compile_nothing() -> None:
    kernel = tw.jit(SCALE)
    for bad in (
        lambda: kernel(a=2.0),
        lambda: kernel(np.ones((2, 2), np.float32), a=2.0),
        lambda: kernel(np.ones(2, np.int32), a=2.0),
        lambda: kernel(np.ones(2, np.complex64), a=2.0),
        lambda: kernel([1.0], a=2.0),
        lambda: kernel(np.ones(2, np.float32), a=2.0, T="f99"),
        lambda: kernel(np.ones(2, np.float32), a=2.0, target="sm_1"),
    ):
        with pytest.raises(tw.CallError):
            bad()
    assert kernel.compilations == 0


def test_wrong_dtype_names_the_argument() -> None:
    kernel = tw.jit(GEMM)
    with pytest.raises(tw.CallError) as caught:
        kernel(data(2, 3), data(3, 2, dtype=np.float16))
    assert caught.value.argument == "b"


def test_gather_outside_is_reported_with_its_place() -> None:
    kernel = tw.jit(GATHER)
    x = np.arange(4, dtype=np.float32)
    np.testing.assert_array_equal(kernel(x, np.array([3, 0, 1], np.int32)), [3, 0, 1])
    for bad in (4, -1, 2**31 - 1, -(2**31)):
        with pytest.raises(tw.TilewrightError) as caught:
            kernel(x, np.array([0, bad, 1], np.int32))
        assert caught.value.code == "TW1015" and ":2:" in str(caught.value)


def test_source_errors_come_out_as_such() -> None:
    with pytest.raises(tw.SourceErrors) as caught:
        tw.jit("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = z[i]\n")
    assert caught.value.diagnostics


def test_what_is_not_compiled_yet_is_refused_with_one_code() -> None:
    kernel = tw.jit("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = x[t] + (y[t-1] else 0)\n")
    with pytest.raises(tw.SourceErrors) as caught:
        kernel(data(4))
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"TW0901"}


def test_internal_fault_leaves_a_crash_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any) -> Any:
        raise InternalFault("a made-up fault")

    monkeypatch.setattr(pipeline, "back_end", broken)
    switches = Switches(cache=False, crash_dir=tmp_path)
    with pytest.raises(CompilerFault, match="a made-up fault") as caught:
        tw.jit(SOFTMAX, switches=switches)(data(2, 3))
    folder = caught.value.folder
    assert folder is not None and folder.parent == tmp_path
    assert (folder / "source.tw").read_text() == SOFTMAX
    assert "made-up" in (folder / "fault.txt").read_text()
    assert len(list(folder.glob("*.mlir"))) >= 4
    assert "tilewright compile source.tw:softmax --target cpu --type T=f32" in (folder / "replay.sh").read_text()


def test_a_crash_folder_holds_what_the_source_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay line works where the folder is sent to."""

    def broken(*arguments: Any) -> Any:
        raise InternalFault("a made-up fault")

    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "halves.tw").write_text("def half(x) = 0.5 * x\n")
    (tmp_path / "main.tw").write_text(
        "from parts.halves import half\nfrom activations import gelu\n"
        "kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[i] = gelu(half(x[i]))\n"
    )
    switches = Switches(cache=False, crash_dir=tmp_path / "crashes")
    with monkeypatch.context() as patch, pytest.raises(CompilerFault) as caught:
        patch.setattr(pipeline, "back_end", broken)
        tw.jit(tmp_path / "main.tw", switches=switches)(data(3))
    folder = caught.value.folder
    assert folder is not None
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.tw")} == {"source.tw", "parts/halves.tw"}
    assert tw.jit(folder / "source.tw", switches=switches)(data(3)).shape == (3,)


def test_a_child_that_dies_or_hangs_is_an_error_and_is_replaced() -> None:
    worker = Worker()
    job = Job(driver.program(SCALE), "scale", driver.instance_of(driver.program(SCALE).kernel(None), {"T": "f32"}, {}))
    request = (SCALE, "s", None, {"kernel": "scale", "instance": job.instance}, Switches(cache=False))
    try:
        with pytest.raises(WorkerFailed, match="no answer within"):
            worker.ask(request, 0.0)
        assert isinstance(worker.ask(request, 60), bytes)
        assert worker._child is not None
        worker._child.kill()
        worker._child.wait()
        assert isinstance(worker.ask(request, 60), bytes)
    finally:
        worker.stop()


def test_the_child_cannot_send_anything_else() -> None:
    import pickle

    from tilewright.compiler.worker import _decode

    for bad in (subprocess.Popen, JitKernel, driver.compile):
        with pytest.raises((pickle.UnpicklingError, AttributeError)):
            _decode(pickle.dumps(bad))
    assert isinstance(_decode(pickle.dumps(tw.CallError("TW1001", "m", argument="x"))), tw.CallError)


def test_errors_of_the_child_are_the_same_as_here() -> None:
    with pytest.raises(tw.SourceErrors) as caught:
        tw.compile("kernel k[N](x: f32[N]) -> (y: f32[N]):\n    y[t] = x[t] + (y[t-1] else 0)\n")
    assert caught.value.diagnostics[0].code == "TW0901" and caught.value.diagnostics[0].span.line == 2


@pytest.mark.parametrize(("start", "length"), [(-1, 64), (350, 64), (-1, 17), (390, 17), (399, 2)])
def test_windows_that_leave_are_found_in_vectors_too(start: int, length: int) -> None:
    """The subscript moves with the lanes, and whole vectors have no mask that could stand for the check."""
    kernel = tw.jit(
        "kernel k[M, N](x: f32[M], at: i32[M], z: f32[N]) -> (y: f32[M, N]):\n    y[i, j] = x[at[i] + j] + z[j]\n"
    )
    x, at, z = np.arange(400, dtype=np.float32), np.full(400, 3, np.int32), np.ones(length, np.float32)
    np.testing.assert_array_equal(kernel(x, at, z)[7], x[3 : 3 + length] + 1)
    at[5] = start
    with pytest.raises(tw.TilewrightError, match="TW1015"):
        kernel(x, at, z)
