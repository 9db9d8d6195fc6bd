"""Owns the lexer: Lark's contextual one, with one expression for all states of the parser.

Lark compiles an expression for each set of tokens that can stand somewhere, 42 of them for a usual file: a seventh of
the time of a process's first compilation. The first token of all that matches is also the first of those that can
stand here, if it can; only if it cannot is the expression of that set needed. Tokens of which others are special cases
(``<`` is one of the comparisons) are left to that expression too.
"""

from __future__ import annotations

from collections.abc import Collection
from copy import copy
from typing import Any

from lark.common import LexerConf
from lark.lexer import BasicLexer, Scanner
from lark.lexer import ContextualLexer as LarkContextualLexer


class ContextualLexer(LarkContextualLexer):
    """Takes the place of Lark's lexer of this name, which makes all its parts at once."""

    def __init__(
        self, conf: LexerConf, states: dict[int, Collection[str]], always_accept: Collection[str] = ()
    ) -> None:
        self.root_lexer = BasicLexer(conf)
        always = frozenset(conf.ignore) | frozenset(always_accept)
        terminals = list(self.root_lexer.terminals)  # in the order in which they are tried
        shared = Scanner(terminals, conf.g_regex_flags, conf.re_module, conf.use_bytes)  # type: ignore[no-untyped-call]
        self.lexers = _Lexers(conf, states, always, shared)


def divided(conf: LexerConf, shared: Scanner) -> frozenset[str]:
    """The tokens that are another one where their text is that of the other."""
    found = set()
    for terminal in conf.terminals:
        if terminal.pattern.type != "str":
            continue
        name = shared.fullmatch(terminal.pattern.value)
        if name is not None and name != terminal.name and conf.terminals_by_name[name].priority == terminal.priority:
            found.add(name)
    return frozenset(found)


class _Lexers(dict[int, Any]):
    """The lexer of each state of the parser, made when the parser first is in it."""

    def __init__(
        self, conf: LexerConf, states: dict[int, Collection[str]], always: frozenset[str], shared: Scanner
    ) -> None:
        super().__init__()
        self._conf, self._states, self._always, self._shared = conf, states, always, shared
        self._divided = divided(conf, shared)
        self._made: dict[frozenset[str], _Lexer] = {}

    def __missing__(self, state: int) -> _Lexer:
        names = self._always.union(self._states[state])
        if names not in self._made:
            self._made[names] = _Lexer(self._only(names), self._shared, names - self._divided)
        self[state] = self._made[names]
        return self._made[names]

    def _only(self, names: frozenset[str]) -> LexerConf:
        """The settings of a lexer of these tokens alone."""
        conf = copy(self._conf)
        conf.terminals = [terminal for terminal in self._conf.terminals if terminal.name in names]
        conf.skip_validation = True
        return conf


class _Lexer(BasicLexer):
    """The lexer of a set of tokens: for those named ``settled``, what ``shared`` finds is what this one would find."""

    def __init__(self, conf: LexerConf, shared: Scanner, settled: frozenset[str]) -> None:
        super().__init__(conf)
        self.callback = {}  # until the scanner is made
        self._shared, self._settled = shared, settled

    def match(self, text: Any, pos: int) -> Any:
        """The text and the name of the token at ``pos``, or None."""
        found = self._shared.match(text, pos)
        if found is None or found[1] in self._settled:
            return found
        return super().match(text, pos)  # type: ignore[no-untyped-call]
