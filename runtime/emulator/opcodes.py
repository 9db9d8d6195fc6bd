"""The one table from mnemonics to decoders. What is not here is an error that names the instruction."""

from __future__ import annotations

from tilewright.runtime.emulator import (
    clusters,
    ops_atomic,
    ops_copy,
    ops_float,
    ops_integer,
    ops_matrix,
    ops_memory,
    ops_quads,
    ops_remote,
    ops_select,
    ops_sparse,
    ops_tensormap,
    ops_warp,
    ops_wgmma,
    ops_wide,
    ops_wmma,
    register_pool,
)
from tilewright.runtime.emulator.action import Action
from tilewright.runtime.emulator.decode import Context, Decoder
from tilewright.runtime.emulator.errors import UnsupportedInstruction
from tilewright.runtime.emulator.scalar_types import TYPES
from tilewright.runtime.emulator.syntax import Instruction


def _by_type(context: Context, instruction: Instruction) -> Action:
    """Mnemonics that exist for integers and for floats (PTX ISA, "Integer Arithmetic", "Floating Point")."""
    kind = TYPES.get(instruction.parts[-1])
    if kind is not None and ops_float.is_float(kind):
        return ops_float.SHARED[instruction.mnemonic](context, instruction)
    return ops_integer.SHARED[instruction.mnemonic](context, instruction)


def _store(context: Context, instruction: Instruction) -> Action:
    """``st`` and ``st.async`` (PTX ISA, sections of these names)."""
    decoder = ops_remote.store_async if "async" in instruction.parts else ops_memory.store
    return decoder(context, instruction)


WIDE: dict[str, Decoder] = {"ld": ops_wide.load, "st": ops_wide.store, "atom": ops_wide.atomic, "mov": ops_wide.move}
"""Decoders of the forms that work on 128-bit registers."""


def _reduction(context: Context, instruction: Instruction) -> Action:
    """``red`` and ``red.async`` (PTX ISA, sections of these names)."""
    decoder = ops_remote.reduce_async if "async" in instruction.parts else ops_atomic.atomic
    return decoder(context, instruction)


def _product(context: Context, instruction: Instruction) -> Action:
    """``mma`` and ``mma.sp`` (PTX ISA, sections of these names)."""
    parts = instruction.parts
    if "m8n8k4" in parts and "f64" not in parts:
        return ops_quads.mma(context, instruction)
    sparse = "sp" in parts or "sp::ordered_metadata" in parts
    return (ops_sparse.mma if sparse else ops_matrix.mma)(context, instruction)


REFUSED = {
    "multimem": "multicast objects belong to several devices, the emulator has one",
    "alloca": "allocation on the stack is not modelled",
    "stacksave": "allocation on the stack is not modelled",
    "stackrestore": "allocation on the stack is not modelled",
    "tcgen05": "needs sm_100",
    "clusterlaunchcontrol": "needs sm_100",
    **dict.fromkeys(("tex", "tld4", "txq", "suld", "sust", "sured", "suq", "istypep"), "textures are not modelled"),
}
"""Instructions that exist and are not modelled, with the reason."""

DECODERS: dict[str, Decoder] = {
    **ops_integer.TABLE,
    **ops_float.TABLE,
    **ops_select.TABLE,
    **ops_memory.TABLE,
    **ops_warp.TABLE,
    **ops_matrix.TABLE,
    **ops_copy.TABLE,
    **ops_atomic.TABLE,
    **clusters.TABLE,
    **ops_tensormap.TABLE,
    **register_pool.TABLE,
    **ops_wgmma.TABLE,
    **ops_wmma.TABLE,
    **{name: _by_type for name in ops_integer.SHARED},
    "st": _store,
    "red": _reduction,
    "mma": _product,
}


def decode(context: Context, instruction: Instruction) -> Action:
    """The action of an instruction.

    Raises:
        UnsupportedInstruction: naming opcode and line, when any part of it is unknown.
    """
    table = WIDE if ops_wide.is_wide(instruction) else DECODERS
    decoder = table.get(instruction.mnemonic)
    if decoder is None:
        reason = REFUSED.get(instruction.mnemonic)
        unknown = UnsupportedInstruction(instruction.opcode, instruction.line)
        raise UnsupportedInstruction(instruction.opcode, instruction.line, reason) if reason else unknown
    try:
        return decoder(context, instruction)
    except (IndexError, KeyError, AttributeError, TypeError, ValueError) as error:
        raise UnsupportedInstruction(instruction.opcode, instruction.line, f"malformed ({error})") from error
