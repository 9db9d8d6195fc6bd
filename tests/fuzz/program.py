"""Owns what a generated program is made of: tensors, indices, and the record of which forms it uses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from numpy.typing import NDArray

from tilewright.compiler.language import typed

Array = NDArray[Any]
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Index:
    """An index in scope: ``extent`` is its source text (a dim, or a number), ``size`` what that is in this program."""

    name: str
    extent: str
    size: int


@dataclass(frozen=True)
class Tensor:
    """A name that can be read: ``extents`` as written, ``into``: integer values are valid subscripts of that extent,
    ``layout``: as written behind the shape, if anything."""

    name: str
    dtype: str
    extents: tuple[str, ...]
    into: str | None = None
    layout: str = ""

    @property
    def declaration(self) -> str:
        shape = f"[{', '.join(self.extents)}]" if self.extents else ""
        return f"{self.name}: {self.dtype}{shape} {self.layout}".rstrip()


@dataclass(frozen=True)
class Program:
    """A generated program with its arguments; ``features`` names the forms it uses."""

    seed: int
    source: str
    types: dict[str, str]
    consts: dict[str, bool | int | float]
    arguments: dict[str, Any]
    dims: dict[str, int]
    features: frozenset[str]
    data_class: str


@dataclass
class Draft:
    """A program being written: the random choices, what exists so far, and what was used."""

    seed: int
    random: random.Random
    sizes: dict[str, int]
    tensors: list[Tensor] = field(default_factory=list)
    scalars: list[tuple[str, str]] = field(default_factory=list)
    consts: list[tuple[str, str, bool | int | float]] = field(default_factory=list)
    macros: list[str] = field(default_factory=list)
    features: set[str] = field(default_factory=set)
    whole: bool = False  # data are small whole numbers: prefer what is exact on them
    counter: int = 0

    def fresh(self, stem: str) -> str:
        self.counter += 1
        return f"{stem}{self.counter}"

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pick(self, options: Sequence[Choice]) -> Choice:
        return self.random.choice(options)

    def use(self, *features: str) -> None:
        self.features.update(features)

    def size(self, extent: str) -> int:
        return self.sizes[extent] if extent in self.sizes else int(extent)


@dataclass(frozen=True)
class Outcome:
    """What became of one case: ``kernel`` and the fraction of undecided elements, largest of its outputs."""

    program: Program
    kernel: typed.TypedKernel
    undecided: float
    exact_elements: int
    elements: int
