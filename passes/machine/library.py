"""Owns the functions that launches of one module share: declarations of the C library's, definitions of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tilewright.dialect.mlir import ir


class Library:
    """Functions of one machine-level module, added when first asked for."""

    def __init__(self, module: Any) -> None:
        self.module = module
        self._known: set[str] = set()

    def declare(self, name: str, inputs: Sequence[Any], results: Sequence[Any]) -> None:
        """A function that the loader provides."""
        if name not in self._known:
            self._known.add(name)
            self._new(name, inputs, results, ir.Location.unknown(), {"sym_visibility": ir.StringAttr.get("private")})

    def define(
        self, name: str, inputs: Sequence[Any], results: Sequence[Any], fill: Callable[[Any], None]
    ) -> None:
        """An internal function; ``fill`` writes its entry block."""
        if name in self._known:
            return
        self._known.add(name)
        internal = {"llvm.linkage": ir.Attribute.parse("#llvm.linkage<internal>")}
        fill(self.entry(name, inputs, results, ir.Location.unknown(), internal))

    def entry(
        self,
        name: str,
        inputs: Sequence[Any],
        results: Sequence[Any],
        location: Any,
        attributes: dict[str, Any] | None = None,
    ) -> Any:
        """The entry block of a new function."""
        op = self._new(name, inputs, results, location, attributes or {})
        return op.regions[0].blocks.append(*inputs, arg_locs=[location] * len(inputs))

    def _new(
        self, name: str, inputs: Sequence[Any], results: Sequence[Any], location: Any, attributes: dict[str, Any]
    ) -> Any:
        type_ = ir.FunctionType.get(list(inputs), list(results))
        known = {"sym_name": ir.StringAttr.get(name), "function_type": ir.TypeAttr.get(type_), **attributes}
        return ir.Operation.create(
            "func.func", attributes=known, regions=1, loc=location, ip=ir.InsertionPoint(self.module.body)
        )
