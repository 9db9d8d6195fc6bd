"""Mutates sources by one token: the slips of a person who types, for tests of what errors point at."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tilewright.compiler.language.tokens import TOKEN, WORDS

POOL = tuple(
    "( ) [ ] , : ; = += == != < <= > + - * / // % ** & | ^ ~ << >> -> .. . if else where in and or not kernel def for "
    "require const inout x i j N T f32 sum exp 0 1 2.5 @ ! ? $ => &&".split()
)


@dataclass(frozen=True)
class Mutation:
    """A mutated source. What changed lies within ``start .. end`` of ``text``: the token, or the gap it left."""

    kind: str
    text: str
    start: int
    end: int


Places: TypeAlias = list[tuple[int, int]]


def places(text: str) -> Places:
    """Where the tokens of ``text`` stand; comments, spaces and line ends are no tokens here."""
    found = TOKEN.finditer(text)
    return [match.span() for match in found if match.lastgroup not in ("space", "newline", "comment")]


def mutate(text: str, random_: random.Random) -> Mutation:
    """Delete, duplicate, swap, replace or insert one random token of ``text``."""
    tokens = places(text)
    index = random_.randrange(len(tokens) - 1)
    return random_.choice(KINDS)(text, tokens, index, random_)


def mutate_alike(text: str, random_: random.Random) -> Mutation:
    """Exchange one random token of ``text`` for another of its class."""
    tokens = places(text)
    return exchange(text, tokens, random_.randrange(len(tokens)), random_)


def delete(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    start, end = tokens[index]
    before = tokens[index - 1][1] if index else 0
    after = tokens[index + 1][0] - (end - start)
    return Mutation("delete", text[:start] + text[end:], before, after)


def duplicate(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    start, end = tokens[index]
    return Mutation("duplicate", f"{text[:end]} {text[start:]}", start, 2 * end - start + 1)


def swap(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    (start, end), (start2, end2) = tokens[index], tokens[index + 1]
    swapped = text[start2:end2] + text[end:start2] + text[start:end]
    return Mutation("swap", text[:start] + swapped + text[end2:], start, end2)


def replace(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    start, end = tokens[index]
    new = f" {random_.choice(POOL)} "
    return Mutation("replace", text[:start] + new + text[end:], start, start + len(new))


def insert(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    start = tokens[index][0]
    new = f"{random_.choice(POOL)} "
    return Mutation("insert", text[:start] + new + text[start:], start, start + len(new))


def exchange(text: str, tokens: Places, index: int, random_: random.Random) -> Mutation:
    """A token for another of its class that stands in the source: most often still a sentence of the language."""
    start, end = tokens[index]
    kind = _class(text[start:end])
    alike = [text[first:last] for first, last in tokens if _class(text[first:last]) == kind]
    new = random_.choice(alike)
    return Mutation("exchange", text[:start] + new + text[end:], start, start + len(new))


def _class(token: str) -> str:
    if token in WORDS:
        return token
    if token[0].isalpha() or token[0] == "_":
        return "name"
    if token[0].isdigit():
        return "number"
    return "operator" if token in ("*", "/", "//", "+", "-", "<", "<=", "%") else token


KINDS: tuple[Callable[[str, Places, int, random.Random], Mutation], ...] = (delete, duplicate, swap, replace, insert)
