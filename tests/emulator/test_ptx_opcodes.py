"""The table of instructions: each decoder says where it is defined, and what is not modelled says why."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.emulator.ptx_kernel import kernel

from tilewright.runtime.emulator import Module, launch
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.opcodes import DECODERS, REFUSED, WIDE


@pytest.mark.parametrize("table", [DECODERS, WIDE])
def test_every_decoder_names_its_section(table: dict[str, Any]) -> None:
    decoders = {name: found.func if isinstance(found, partial) else found for name, found in table.items()}
    assert [name for name, found in decoders.items() if "PTX ISA" not in (found.__doc__ or "")] == []


@pytest.mark.parametrize("mnemonic", REFUSED)
def test_what_is_not_modelled_is_refused_with_its_line_and_reason(mnemonic: str) -> None:
    assert mnemonic not in DECODERS
    text = kernel(f"mov.u32 %r1, 0;\n{mnemonic}.b32 %r1;")
    line = text[: text.index(f"{mnemonic}.b32")].count("\n") + 1
    with pytest.raises(UnsupportedInstruction, match=f"line {line}: `{mnemonic}.b32`: {REFUSED[mnemonic]}"):
        launch(Module.parse(text), "k", (1,), (32,))


UNKNOWN = [
    "add.{m}.s32 %r1, %r2, %r3;",
    "ld.global.{m}.b32 %r1, [%q0];",
    "bar.sync.{m} 0;",
    "shfl.sync.bfly.{m}.b32 %r1, %r2, 1, 31, -1;",
    "cp.async.bulk.commit_group.{m};",
    "tensormap.replace.tile.rank.global.{m}.b1024.b32 [%q0], 1;",
    "setmaxnreg.inc.sync.aligned.{m}.u32 64;",
    "atom.global.exch.{m}.b128 %w0, [%q0], %w1;",
    "fence.proxy.tensormap::generic.release.{m}.gpu;",
]


@pytest.mark.parametrize("line", UNKNOWN)
def test_an_unknown_modifier_is_named(line: str) -> None:
    with pytest.raises(UnsupportedInstruction, match="unknown modifier `.brisk`"):
        launch(Module.parse(kernel(line.format(m="brisk"), pointers=1)), "k", (1,), (32,), args=[np.zeros(4)])
