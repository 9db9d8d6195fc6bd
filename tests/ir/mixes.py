"""What the compiler writes for many kernels: how often each op stands in each launch, for a CPU and for sm_80, as text.

    python -m tests.ir.mixes   # writes tests/ir/mixes.txt anew; read the difference before it is committed

Results stay right when an optimisation is lost: a guard that was proved away, a mask that only an edge needs, a wide
access. This is where it shows. Ops of ``arith`` stand without their dialect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tests.forms import FORMS, kernel_of
from tests.library_cases import CASES
from tilewright.compiler import sources
from tilewright.compiler.driver import instance_of
from tilewright.compiler.emit import emit
from tilewright.compiler.emit_refuse import NOT_COMPILED
from tilewright.compiler.jobs import Job
from tilewright.compiler.language.errors import SourceErrors
from tilewright.compiler.language.typed import TypedKernel
from tilewright.compiler.pipeline import Settings, road
from tilewright.compiler.target import GPUS, Target
from tilewright.dialect import ods
from tilewright.dialect.mlir import ir
from tilewright.passes.base import run_passes
from tilewright.passes.cpu.lower import lower as lower_to_cpu
from tilewright.passes.cpu.target import from_features
from tilewright.passes.gpu.lower import lower as lower_to_gpu
from tilewright.passes.gpu.ptx import Chip
from tilewright.passes.tile.facts import attach_facts
from tilewright.passes.tile.rule import Machine

FILE = Path(__file__).with_suffix(".txt")
KERNELS = tuple(Path(__file__).parents[1] / "kernels" / f"{name}.tw" for name in ("convolutions", "routing"))
"""Moving windows, ranges, gathers and masks, of which the library has few."""
FLAGS = dict.fromkeys(("avx2", "fma", "f16c"), True)
CPU = Target(
    "cpu", ("cpu",), cpu=from_features("x86-64-v3", "x86_64-unknown-linux-gnu", FLAGS), machine=Machine(columns=16)
)
GPU = GPUS["sm_80"]


@dataclass(frozen=True)
class Recorded:
    """A kernel by a name of its own; ``typed`` makes it for an element type, ``dtypes`` are those it takes, ``facts``
    are what the GPU may assume of it."""

    name: str
    dtypes: tuple[str, ...]
    typed: Callable[[str], TypedKernel]
    facts: Callable[[TypedKernel], tuple[str, ...]]


@cache
def candidates() -> tuple[Recorded, ...]:
    """The library, ``KERNELS`` and the forms, those too that are not compiled yet."""
    library = [Recorded(f"{case.module}.{case.id}", case.dtypes, case.typed, _facts) for case in CASES]
    forms = [Recorded(f"forms: {name}", ("f32",), partial(_form, name), _nothing) for name in FORMS]
    return (*library, *(one for path in KERNELS for one in _kernels_of(path)), *forms)


def recorded() -> list[Recorded]:
    """The kernels that the file has."""
    return [one for one in candidates() if one.name in known()]


def _kernels_of(path: Path) -> Iterator[Recorded]:
    for name, checked in sources.from_file(path).module.kernels.items():
        dtypes = tuple(dict.fromkeys(dtype for allowed in checked.type_params.values() for dtype in allowed))
        yield Recorded(f"{path.stem}/{name}", dtypes or ("f32",), partial(_instance, path, name), _facts)


def _form(name: str, dtype: str) -> TypedKernel:
    return kernel_of(name)


def _instance(path: Path, name: str, dtype: str) -> TypedKernel:
    """For ``dtype`` where it is allowed; constants without a default are 2, or true."""
    program = sources.from_file(path)
    checked = program.kernel(name)
    types = {param: dtype if dtype in allowed else allowed[0] for param, allowed in checked.type_params.items()}
    missing = [item for item in checked.scalars if item.qualifier == "const" and item.default is None]
    consts = {item.name.id: True if str(item.dtype) == "bool" else 2 for item in missing}
    return Job(program, name, instance_of(checked, types, consts)).typed()


def is_compiled(one: Recorded) -> bool:
    """Whether the emitter takes a kernel."""
    try:
        with ods.session():
            emit(one.typed(one.dtypes[0]))
    except SourceErrors as errors:
        assert {diagnostic.code for diagnostic in errors.diagnostics} == {NOT_COMPILED}
        return False
    return True


def written(one: Recorded) -> str:
    """The mixes of a kernel: f32, where it takes that, on a CPU; bf16 and, but for the forms, aligned rows on a GPU."""
    wide, narrow = (dtype if dtype in one.dtypes else one.dtypes[0] for dtype in ("f32", "bf16"))
    kernel = one.typed(narrow)
    return "\n".join([f"== {one.name}", *_cpu(one.typed(wide)), *_gpu(kernel, one.facts(kernel)), ""])


def _facts(kernel: TypedKernel) -> tuple[str, ...]:
    tensors = [tensor.name for tensor in (*kernel.tensors, *kernel.outputs)]
    return (*(f"align({name}) >= 16" for name in tensors), *(f"{dim} % 16 == 0" for dim in kernel.dims))


def _nothing(kernel: TypedKernel) -> tuple[str, ...]:
    return ()


def _cpu(kernel: TypedKernel) -> Iterator[str]:
    assert CPU.cpu is not None
    with ods.session():
        yield from _lines("cpu", lower_to_cpu(_tiled(kernel, CPU, ()), CPU.cpu).module.body)


def _gpu(kernel: TypedKernel, facts: tuple[str, ...]) -> Iterator[str]:
    with ods.session():
        lowered = lower_to_gpu(_tiled(kernel, GPU, facts), Chip("sm_80"), GPU.machine.stages)
        yield from (f"-- {k.name}: {k.threads} threads, {k.shared_bytes} bytes shared" for k in lowered.kernels)
        yield from _lines("sm_80", ods.ops_of(lowered.module.body)[0].regions[0].blocks[0])


def _tiled(kernel: TypedKernel, target: Target, facts: tuple[str, ...]) -> Any:
    module = emit(kernel)
    for _, passes in road(target, Settings()):
        attach_facts(module, facts)
        module = run_passes(module, passes)
    return module


def _lines(title: str, block: Any) -> Iterator[str]:
    """One line a function, in their order."""
    for op in ods.ops_of(block):
        if op.name in ("func.func", "llvm.func"):
            counts = Counter(_title(inner) for inner in _inside(op))
            mix = ", ".join(name + f" x{count}" * (count > 1) for name, count in sorted(counts.items()))
            yield f"{title} {ir.StringAttr(op.attributes['sym_name']).value}: {mix}"


def _title(op: Any) -> str:
    """The op's name; of a number that is counted with, the number too: sizes and steps are decisions."""
    name = str(op.name).removeprefix("arith.")
    if name != "constant" or not isinstance(op.attributes["value"], ir.IntegerAttr):
        return name
    return f"{name} {ir.IntegerAttr(op.attributes['value']).value}"


def _inside(operation: Any) -> Iterator[Any]:
    for region in operation.regions:
        for block in region.blocks:
            for op in ods.ops_of(block):
                yield op
                yield from _inside(op)


def known() -> dict[str, str]:
    """The recorded mixes by kernel."""
    parts = FILE.read_text(encoding="utf-8").split("== ")[1:]
    return {part.partition("\n")[0]: f"== {part}" for part in parts}


if __name__ == "__main__":
    FILE.write_text("".join(map(written, filter(is_compiled, candidates()))), encoding="utf-8")
