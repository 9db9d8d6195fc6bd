"""What ptxas makes of kernels for sm_80: no spills, nothing serialised, the instructions that were meant."""

from __future__ import annotations

import json

import pytest
from tests.emulator.sm80 import artifact, case_of, facts_for

from tilewright.passes.gpu.ptx import Chip, ToolMissing, assemble, opcode_counts, tool

SIZES = {"M": 1024, "N": 1024, "K": 1024, "C": 1024}


def assembler() -> bool:
    try:
        return bool(tool("ptxas") and tool("nvdisasm"))
    except ToolMissing:
        return False


pytestmark = pytest.mark.skipif(not assembler(), reason="needs ptxas and nvdisasm: pip install 'tilewright[cuda]'")


def counts_of(kernel: str, dtype: str) -> dict[str, int]:
    """Opcodes of an aligned kernel, after the checks that hold for all."""
    case = case_of(kernel)
    made = artifact(case, dtype, facts_for(case, SIZES))
    for row in json.loads(made.notes["resources.json"]).values():
        assert row["spills"] == 0 and row["stack_bytes"] == 0 and row["registers"] <= 255
    assert assemble(made.notes["code.ptx"], Chip("sm_80")).warnings == ()
    return opcode_counts(made.notes["code.sass"])


@pytest.mark.parametrize(("kernel", "dtype"), [("matmul", "bf16"), ("matmul_nt", "f16"), ("linear_gelu", "f16")])
def test_products_use_matrix_instructions(kernel: str, dtype: str) -> None:
    counts = counts_of(kernel, dtype)
    assert counts["HMMA"] == 32  # 64x32 elements and 32 steps of k a warp, 16x8x16 an instruction
    assert counts["LDSM"] == 12
    assert counts["LDGSTS"] == 4 * 3  # two copies ahead of the loop, one in it


@pytest.mark.parametrize(("kernel", "dtype"), [("softmax", "f32"), ("softmax", "bf16"), ("layernorm", "f32")])
def test_rows_use_wide_accesses(kernel: str, dtype: str) -> None:
    case = case_of(kernel)
    made = artifact(case, dtype, facts_for(case, SIZES))
    counts = counts_of(kernel, dtype)
    assert counts["SHFL"] >= 5
    assert "LDG.E.128" in made.notes["code.sass"] and "STG.E.128" in made.notes["code.sass"]
