"""Addresses of variables: inside their state space, and generic after ``cvta`` (PTX ISA, "mov", "cvta")."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.runtime.emulator import Module, launch

# The address of the second half of `values` in its space, 32 or 64 bits wide, and generic.
TEXT = """.version 8.0
.target sm_90
.address_size 64
.visible .entry k(.param .u64 out, .param .align 8 .b8 values[16])
{{
.reg .b32 %r<4>; .reg .b64 %d<4>;
mov.b{width} %{kind}1, values+8;
ld.param.u32 %r2, [%{kind}1];
{widen}
cvta.param.u64 %d3, %d2;
ld.u32 %r3, [%d3+4];
ld.param.u64 %d1, [out];
st.global.u32 [%d1], %r2;
st.global.u32 [%d1+4], %r3;
ret;
}}
"""


@pytest.mark.parametrize(
    ("width", "kind", "widen"), [(32, "r", "cvt.u64.u32 %d2, %r1;"), (64, "d", "mov.b64 %d2, %d1;")]
)
def test_the_address_of_a_parameter_is_not_yet_generic(width: int, kind: str, widen: str) -> None:
    module = Module.parse(TEXT.format(width=width, kind=kind, widen=widen))
    out = np.zeros(2, np.uint32)
    values = np.array([1, 2, 3, 4], np.uint32).tobytes()
    report = launch(module, "k", (1,), (1,), args=[out, values])
    assert report.findings == []
    np.testing.assert_array_equal(out, [3, 4])
