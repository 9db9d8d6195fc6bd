"""Every compiled library kernel at the tensor level, as emitted: within the bound of the reference, for all types."""

from __future__ import annotations

import pytest

from tests.library_cases import CASES, Case
from tilewright.compiler.emit import emit
from tilewright.compiler.reference.compare import compare
from tilewright.compiler.reference.evaluate import evaluate
from tilewright.dialect import ods
from tilewright.dialect.interpret.tensor import run_tensor

DRAWS = [
    ("random", "prime"),
    ("integers", "ragged"),
    ("special", "prime"),
    ("cancelling", "prime"),
    ("random", "empty"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.module}.{case.id}")
def test_the_emitted_kernel_agrees_with_the_reference(case: Case) -> None:
    for dtype in case.dtypes:
        kernel = case.typed(dtype)
        with ods.session():
            module = emit(kernel)
            for data, shape in DRAWS:
                arguments = case.arguments(dtype, data, shape)
                expected = evaluate(kernel, arguments)
                defaults = {scalar.name: scalar.default for scalar in kernel.scalars}
                actual = run_tensor(module, kernel.name, defaults | arguments, expected.dims)
                for name, value in actual.items():
                    comparison = compare(expected, name, value)
                    assert comparison.ok, f"{dtype} {data} {shape}: {comparison.message}"
