"""The modelling assumptions that hardware has not confirmed, each a named switch with the strict choice first.

``docs/emulator.md`` says what each one means. ``launch(..., assume={"register_pool": "unlimited"})`` changes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from tilewright.runtime.emulator.errors import LaunchError

CHOICES: dict[str, tuple[str, ...]] = {
    "interleaved_box": ("memory", "logical"),
    "tensormap_fence": ("required", "implied"),
    "register_pool": ("modelled", "unlimited"),
}


@dataclass(frozen=True, slots=True)
class Assumptions:
    """One field per assumption.

    Attributes:
        interleaved_box: ``memory`` keeps the channel slices of an interleaved tile outside its pixels, as in global
            memory; ``logical`` puts them inside.
        tensormap_fence: whether a tensor map written by the kernel needs the release and acquire fences of its proxy.
        register_pool: whether ``setmaxnreg.inc`` waits for registers that other warps release.
    """

    interleaved_box: str = "memory"
    tensormap_fence: str = "required"
    register_pool: str = "modelled"


def assumptions(chosen: Mapping[str, str]) -> Assumptions:
    """The strict assumptions with some of them changed.

    Raises:
        LaunchError: naming a switch or a choice that does not exist.
    """
    assert {field.name for field in fields(Assumptions)} == set(CHOICES)
    for name, value in chosen.items():
        if name not in CHOICES:
            raise LaunchError(f"no assumption `{name}`; there are {', '.join(CHOICES)}")
        if value not in CHOICES[name]:
            raise LaunchError(f"{name}={value!r} is not one of {', '.join(CHOICES[name])}")
    return Assumptions(**chosen)
