"""Loads, stores, prefetches and fences (PTX ISA, "Data Movement", "membar / fence")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator import ops_tensormap
from tilewright.runtime.emulator.action import Action, Mask, Order, Site, Source
from tilewright.runtime.emulator.decode import (
    Context,
    Decoder,
    Modifiers,
    address,
    destination,
    elements,
    operands,
    source,
)
from tilewright.runtime.emulator.scalar_types import TYPES, Array, ScalarType, bits_type
from tilewright.runtime.emulator.syntax import Instruction

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

SPACES = (
    "global",
    "shared",
    "shared::cta",
    "shared::cluster",
    "local",
    "param",
    "param::entry",
    "param::func",
    "const",
)
CACHE = (
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::cache_hint",
    "L2::64B",
    "L2::128B",
    "L2::256B",
    "L2::evict_first",
    "L2::evict_last",
    "L2::evict_normal",
    "unified",
)
SEMANTICS = ("weak", "relaxed", "acquire", "release", "volatile", "mmio")
SCOPES = ("cta", "cluster", "gpu", "sys")


def read_ordering(m: Modifiers) -> tuple[str, str | None]:
    """Semantics and scope of a load or store; cache hints are dropped."""
    semantics = m.choice(*SEMANTICS) or "weak"
    scope = m.choice(*SCOPES)
    while m.choice(*CACHE):
        pass
    return semantics, scope


def read_space(m: Modifiers, declared: str | None) -> str:
    """The state space, from the opcode or else from the symbol of the address."""
    space = m.choice(*SPACES)
    if declared == "local":  # a .param variable of a function body is per-thread storage
        return "local"
    if space is not None:
        return space.split("::")[0]
    return declared or "generic"


def _element(kind: ScalarType) -> tuple[ScalarType, int]:
    """Type and size of one element; a 128-bit element is two halves."""
    return kind, max(kind.bits // 8, 1)


def load(context: Context, instruction: Instruction) -> Action:
    """``ld`` and ``ldu`` of scalars and vectors from any space (PTX ISA, "ld", "ldu")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    vector = m.choice("v2", "v4", "v8")
    semantics, scope = read_ordering(m)
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[1])
    space = read_space(m, declared)
    m.finish()
    if kind.bits == 128:
        raise m.fault("vectors of 128-bit elements do not exist")
    results = [destination(instruction, item, _load_type(kind)) for item in elements(items[0])]
    if len(results) != int((vector or "v1")[1:]):
        raise m.fault("the vector length does not match the operand")
    size = _element(kind)[1]
    if space == "param" and base.constant is not None and declared == "param":
        return Action(
            instruction,
            partial(_load_parameter, size, len(results)),
            (base, offset),
            tuple(results),
            Order.PURE,
            effect=True,
        )
    function = partial(_load, space, size, len(results), _load_type(kind).dtype)
    ordered = semantics in ("acquire", "relaxed", "volatile", "mmio")
    if ordered and space != "local":
        function = partial(_load_ordered, semantics, scope, space, size, len(results), _load_type(kind).dtype)
    return Action(
        instruction, function, (base, offset), tuple(results), Order.STRICT if ordered else Order.LOAD, effect=True
    )


def _load_type(kind: ScalarType) -> ScalarType:
    return kind if kind.is_integer else bits_type(kind.bits)


def _load(
    space: str, size: int, count: int, dtype: Any, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array
) -> Any:
    found = machine.memory.load(site, mask, space, base, offset, size, count)
    if count == 1:
        return found.view(dtype)
    return tuple(np.ascontiguousarray(part).view(dtype) for part in found)


def _load_ordered(
    semantics: str,
    scope: str | None,
    space: str,
    size: int,
    count: int,
    dtype: Any,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
) -> Any:
    with machine.strong(site, mask, base, offset, space, size * count, semantics, scope):
        return _load(space, size, count, dtype, machine, site, mask, base, offset)


def _load_parameter(size: int, count: int, machine: Machine, site: Site, mask: Mask, base: Any, offset: Any) -> Any:
    """Kernel parameters are the same for every lane."""
    start = np.asarray(base + offset).reshape(-1, 1) // size
    data = machine.parameters.view(False, size, 1)
    parts = tuple(data[start + i, 0] for i in range(count))
    return parts if count > 1 else parts[0]


def store(context: Context, instruction: Instruction) -> Action:
    """``st`` of scalars and vectors to any writable space (PTX ISA, "st")."""
    m = Modifiers(instruction)
    kind = m.last_type()
    vector = m.choice("v2", "v4", "v8")
    semantics, scope = read_ordering(m)
    items = operands(instruction, 2, 3)
    (base, offset), declared = address(context, instruction, items[0])
    space = read_space(m, declared)
    m.finish()
    if kind.bits == 128:
        raise m.fault("vectors of 128-bit elements do not exist")
    values = [_stored(context, instruction, item, kind) for item in elements(items[1])]
    if len(values) != int((vector or "v1")[1:]):
        raise m.fault("the vector length does not match the operand")
    size = _element(kind)[1]
    ordered = semantics in ("release", "relaxed", "volatile", "mmio")
    function = partial(_store, space, size)
    if ordered and space != "local":
        function = partial(_store_ordered, semantics, scope, space, size)
    return Action(
        instruction, function, (base, offset, *values), (), Order.STRICT if ordered else Order.STORE, effect=True
    )


def _stored(context: Context, instruction: Instruction, operand: Any, kind: ScalarType) -> Source:
    read = source(context, instruction, operand, kind)
    if read.constant is None:
        return source(context, instruction, operand, bits_type(kind.bits))
    return Source(bits_type(kind.bits), constant=np.asarray(read.constant).view(bits_type(kind.bits).dtype)[()])


def _store(
    space: str, size: int, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, *values: Array
) -> None:
    machine.memory.store(site, mask, space, base, offset, list(values), size)


def _store_ordered(
    semantics: str,
    scope: str | None,
    space: str,
    size: int,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    *values: Array,
) -> None:
    with machine.strong(site, mask, base, offset, space, size * len(values), semantics, scope):
        _store(space, size, machine, site, mask, base, offset, *values)


def prefetch(context: Context, instruction: Instruction) -> Action:
    """``prefetch``, ``prefetchu``, ``discard``, ``applypriority``, ``createpolicy``-free hints: no visible effect.

    PTX ISA, "prefetch, prefetchu", "discard", "applypriority".
    """
    m = Modifiers(instruction)
    m.flag("tensormap")
    m.choice("L1", "L2", "L2::evict_last", "L2::evict_normal")
    read_space(m, None)
    m.flag("L2::128B")
    m.choice("L2", "L2::evict_normal")
    m.finish()
    (base, offset), _ = address(context, instruction, instruction.operands[0])
    return Action(instruction, _nothing, (base, offset), (), Order.PURE, effect=True)


def _nothing(machine: Machine, site: Site, mask: Mask, *values: Any) -> None:
    """A hint."""


def fence(context: Context, instruction: Instruction) -> Action:
    """``fence``, ``membar`` and the proxy fences (PTX ISA, "membar / fence")."""
    if "tensormap::generic" in instruction.parts:
        return ops_tensormap.proxy_fence(context, instruction)
    m = Modifiers(instruction)
    proxy = m.flag("proxy")
    kinds = ("async", "async.global", "alias", "async::generic", "async.shared::cta")
    which = m.choice(*kinds) if proxy else None
    space = m.choice(
        "global", "shared::cta", "shared::cluster", "sync_restrict::shared::cta", "sync_restrict::shared::cluster"
    )
    init = m.flag("mbarrier_init")
    semantics = m.choice("sc", "acq_rel", "acquire", "release") or "sc"
    scope = m.choice("cta", "cluster", "gpu", "sys", "gl")
    m.finish()
    function = partial(_fence, "mbarrier_init" if init else which if proxy else None, space, semantics, scope or "sys")
    return Action(instruction, function, (), (), Order.STRICT, effect=True)


def _fence(
    proxy: str | None, space: str | None, semantics: str, scope: str, machine: Machine, site: Site, mask: Mask
) -> None:
    if machine.races is not None:
        machine.races.fence(machine.lane_ids(mask), proxy, space, semantics, "gpu" if scope == "gl" else scope)


def create_policy(context: Context, instruction: Instruction) -> Action:
    """Cache policies have no functional effect; the result is an opaque zero (PTX ISA, "createpolicy")."""
    kind = TYPES["b64"]
    result = destination(instruction, operands(instruction, 2, 5)[0], kind)
    return Action(instruction, lambda: np.uint64(0), (), (result,))


TABLE: dict[str, Decoder] = {
    "ld": load,
    "ldu": load,
    "st": store,
    "prefetch": prefetch,
    "prefetchu": prefetch,
    "discard": prefetch,
    "applypriority": prefetch,
    "fence": fence,
    "membar": fence,
    "createpolicy": create_policy,
}
