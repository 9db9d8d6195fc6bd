"""Decoders of ``mbarrier`` instructions (PTX ISA, "Parallel Synchronization ...: mbarrier")."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.emulator.action import Action, Destination, Mask, Order, Site
from tilewright.runtime.emulator.decode import Context, Modifiers, address, destination, operands, source
from tilewright.runtime.emulator.scalar_types import B64, PRED, U32, Array
from tilewright.runtime.emulator.syntax import Instruction, Memory

if TYPE_CHECKING:
    from tilewright.runtime.emulator.machine import Machine

SHARED_SPACES = ("shared", "shared::cta", "shared::cluster")
SCOPED = ("cta", "cluster", "acquire", "release", "relaxed")


def _space(m: Modifiers) -> str:
    found = m.choice(*SHARED_SPACES)
    while m.choice(*SCOPED):
        pass
    return "shared" if found else "generic"


def _own_cta(m: Modifiers, only: bool) -> None:
    """Refuse ``.shared::cluster`` where only the executing CTA's barriers may be named."""
    if only and "shared::cluster" in m.left:
        raise m.fault("acts on barriers of the executing CTA only")


def mbarrier(context: Context, instruction: Instruction) -> Action:
    """Every ``mbarrier`` instruction (PTX ISA, "mbarrier.init" to "mbarrier.pending_count")."""
    m = Modifiers(instruction)
    name = m.need(
        "init", "inval", "arrive", "arrive_drop", "expect_tx", "complete_tx", "test_wait", "try_wait", "pending_count"
    )
    if name == "pending_count":
        m.need("b64")
        m.finish()
        items = operands(instruction, 2)
        return Action(
            instruction,
            lambda token: (np.asarray(token) >> np.uint64(1)).astype(np.uint32),
            (source(context, instruction, items[1], B64),),
            (destination(instruction, items[0], U32),),
        )
    if name in ("arrive", "arrive_drop"):
        return _arrive(context, instruction, m, name == "arrive_drop")
    if name in ("test_wait", "try_wait"):
        return _wait(context, instruction, m)
    _own_cta(m, name in ("init", "inval"))
    space = _space(m)
    m.flag("b64")
    m.finish()
    items = operands(instruction, 1 if name == "inval" else 2)
    (base, offset), _ = address(context, instruction, items[0])
    inputs = (base, offset) if name == "inval" else (base, offset, source(context, instruction, items[1], U32))
    function: Any = {"init": _init, "inval": _inval}.get(name)
    if function is None:
        function = partial(_expect, 1 if name == "expect_tx" else -1)
    return Action(instruction, partial(function, space), inputs, (), Order.STRICT, effect=True)


def _init(space: str, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, count: Array) -> None:
    machine.engines.barriers.init(site, mask, space, base, offset, count)


def _inval(space: str, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array) -> None:
    machine.engines.barriers.invalidate(site, mask, space, base, offset)


def _expect(
    sign: int, space: str, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, amount: Array
) -> None:
    machine.engines.barriers.expect(site, mask, space, base, offset, amount, sign)


def _arrive(context: Context, instruction: Instruction, m: Modifiers, drop: bool) -> Action:
    expects = m.flag("expect_tx")
    m.flag("noComplete")
    space = _space(m)
    m.need("b64")
    m.finish()
    items = list(operands(instruction, 1, 3))
    results: tuple[Destination, ...] = ()
    if not isinstance(items[0], Memory):
        results = (destination(instruction, items.pop(0), B64),)
    (base, offset), _ = address(context, instruction, items[0])
    inputs = [base, offset] + [source(context, instruction, item, U32) for item in items[1:]]
    if "shared::cluster" in instruction.parts and any(result.register is not None for result in results):
        raise m.fault("an arrival in another CTA gives no state: the destination must be `_`")
    if expects and len(inputs) != 3:
        raise m.fault("needs a transaction count")
    return Action(
        instruction,
        partial(_arrive_run, space, expects, drop, bool(results)),
        tuple(inputs),
        results,
        Order.STRICT,
        effect=True,
    )


def _arrive_run(
    space: str,
    expects: bool,
    drop: bool,
    wants: bool,
    machine: Machine,
    site: Site,
    mask: Mask,
    base: Array,
    offset: Array,
    amount: Array | None = None,
) -> Any:
    count, transaction = (None, amount) if expects else (amount, None)
    tokens = machine.engines.barriers.arrive(site, mask, space, base, offset, count, transaction, drop)
    return tokens if wants else None


def _wait(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    parity = m.flag("parity")
    _own_cta(m, True)
    space = _space(m)
    m.need("b64")
    m.finish()
    items = operands(instruction, 3, 4)
    (base, offset), _ = address(context, instruction, items[1])
    operand = source(context, instruction, items[2], U32 if parity else B64)
    result = (destination(instruction, items[0], PRED),)
    return Action(
        instruction,
        partial(_wait_run, space=space, parity=parity),
        (base, offset, operand),
        result,
        Order.STRICT,
        effect=True,
    )


def _wait_run(
    machine: Machine, site: Site, mask: Mask, base: Array, offset: Array, operand: Array, *, space: str, parity: bool
) -> Array:
    return machine.engines.barriers.wait(site, mask, space, (base, offset, operand))


def copy_arrive(context: Context, instruction: Instruction, m: Modifiers) -> Action:
    """``cp.async.mbarrier.arrive``: arrive when the thread's earlier copies are done."""
    m.need("arrive")
    keep = m.flag("noinc")
    space = _space(m)
    m.need("b64")
    m.finish()
    (base, offset), _ = address(context, instruction, operands(instruction, 1)[0])
    return Action(instruction, partial(_copy_arrive, space, keep), (base, offset), (), Order.STRICT, effect=True)


def _copy_arrive(space: str, keep: bool, machine: Machine, site: Site, mask: Mask, base: Array, offset: Array) -> None:
    machine.engines.arrive_after_copies(site, mask, space, base, offset, keep)
