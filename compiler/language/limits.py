"""Owns the limits of the language: what a source text may cost before it is refused.

They bound time and memory for hostile input (deep nesting, huge literals, endless files). Each is far above what a
kernel written by a person needs, and each is refused with its own code, so that a generator of sources knows why.
"""

SOURCE_CHARACTERS = 2 * 1024 * 1024
"""Characters of one file; more is refused before anything is read from them (TW0801)."""

TOKENS = 100_000
"""Tokens of one file, comments among them, line ends not (TW0802)."""

LINE_TOKENS = 10_000
"""Tokens of one logical line: a statement, a declaration, a constant table (TW0808)."""

NESTING = 200
"""Brackets that may be open at one place (TW0803)."""

EXPRESSION_DEPTH = 200
"""Height of one expression's tree: operators, calls and conditionals inside each other (TW0807).

A chain ``a + b + c`` has one level per operator. Later stages may recurse over expressions because of this bound.
"""

LITERAL_CHARACTERS = 100
"""Characters of one number (TW0804)."""

NAME_CHARACTERS = 200
"""Characters of one name (TW0806)."""

DIAGNOSTICS = 50
"""Errors of one file that are reported; the rest is counted (the first errors usually cause the rest)."""

NOTE_LINE_COLUMNS = 160
"""Columns of a source line that an error shows; longer lines are cut around the place."""

EXPANDED_NODES = 200_000
"""Expression nodes of one kernel after its macros are expanded (TW0809)."""

EXPANSION_DEPTH = 64
"""Macros inside macros at one place (TW0810)."""

KERNEL_OPERATIONS = 50_000
"""Operations of one kernel after checking (TW0811)."""

RANK = 16
"""Dimensions of one tensor, subscripts of one read, binders of one reduction (TW0812)."""

TABLE_ELEMENTS = 4_096
"""Numbers of one constant table (TW0813)."""

IMPORTED_FILES = 100
"""Files that one file may reach through imports (TW0814)."""
