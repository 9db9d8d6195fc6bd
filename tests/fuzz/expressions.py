"""Owns generated expressions of kind ``float``, ``int`` and ``bool``; every operator and built-in has its form here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.fuzz import bounds
from tests.fuzz.program import Draft, Index
from tests.fuzz.reads import read, readable

Scope = Sequence[Index]
INTEGERS = ("i8", "i16", "i32", "i64", "u8", "u16", "u32")
FLOATS = ("f16", "bf16", "f32", "f64")


class Expressions:
    """Writes expressions of bounded ``depth`` over the indices in ``scope``."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft

    # ------------------------------------------------------------ floats

    def floating(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        if depth <= 0:
            return self._float_leaf(scope)
        exact = [
            self._float_operator,
            self._float_operator,
            self._float_reduce,
            self._float_choice,
            self._float_extreme,
        ]
        others = [self._built_in, self._float_cast, self._quotient, self._steps, self._odd_float, self._float_macro]
        if draft.whole and draft.chance(0.4):
            return draft.pick(exact)(scope, depth - 1)
        return draft.pick(exact + others + [self._built_in, self._built_in, self._steps])(scope, depth - 1)

    def _float_leaf(self, scope: Scope) -> str:
        draft = self.draft
        tensors = readable(draft, scope, "float")
        if tensors and draft.chance(0.8):
            return read(draft, scope, draft.pick(tensors), self._else_float())
        return draft.pick([self._float_literal, self._float_scalar, self._float_name])(scope)

    def _else_float(self) -> str:
        return self.draft.pick(["0", "0", "1.5", "-2", "1"])

    def _float_literal(self, scope: Scope) -> str:
        text = self.draft.pick(
            ["2", "0.5", "3", "1.25"] if self.draft.whole else ["2", "0.5", "pi", "pi", "0.1", "2e-1"]
        )
        self.draft.use("literal: pi" if text == "pi" else "literal: float" if "." in text else "literal: whole")
        return f"f32({text})" if text in ("2", "3") else text

    def _float_scalar(self, scope: Scope) -> str:
        names = [name for name, dtype in self.draft.scalars if dtype[0] in "fb"]
        if not names:
            return "1.5"
        self.draft.use("scalar: float")
        return self.draft.pick(names)

    def _float_name(self, scope: Scope) -> str:
        self.draft.use("value: index" if scope else "value: dim")
        return f"f32({self._integer_name(scope)})"

    def _float_operator(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["+", "-", "*", "+", "-", "*", "neg", "**"])
        self.draft.use(f"float {op}")
        if op == "neg":
            return f"(-{self.floating(scope, depth)})"
        if op == "**":
            return f"({self.floating(scope, depth)}) ** 2"
        left, right = self.floating(scope, depth), self.floating(scope, self.draft.random.randint(0, depth))
        return f"({left} {op} {right})"

    def _quotient(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        op = draft.pick(["/", "/", "int /"])
        draft.use(f"float {op}" if op != "int /" else "int /")
        if op == "int /":
            return f"({self.integer(scope, depth)} / (abs({self.integer(scope, 0)}) + 1))"
        left = self.floating(scope, depth)
        if draft.whole:
            return f"({left} {op} {draft.pick(['2.0', '4.0', '0.5', '3.0'])})"
        return f"({left} / (abs({self.floating(scope, 0)}) + 0.5))"

    def _built_in(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        name = draft.pick(sorted(_BUILT_INS))
        draft.use(f"call: {name}")
        text = _BUILT_INS[name](self.floating(scope, depth))
        if draft.chance(0.1):
            draft.use("approx")
            return f"approx({text})"
        return text

    def _steps(self, scope: Scope, depth: int) -> str:
        name = self.draft.pick(["floor", "ceil", "round", "sign", "abs", "detach"])
        self.draft.use(f"call: {name}")
        return f"{name}({self.floating(scope, depth)})"

    def _float_extreme(self, scope: Scope, depth: int) -> str:
        name = self.draft.pick(["min", "max"])
        self.draft.use(f"float {name}")
        if self.draft.chance(0.25):
            self.draft.use("extreme of three")
            return f"{name}({self.floating(scope, depth)}, {self.floating(scope, 0)}, {self.floating(scope, 0)})"
        return f"{name}({self.floating(scope, depth)}, {self.floating(scope, 0)})"

    def _odd_float(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        form = draft.pick(["fma", "pow", "bitcast", "inf", "nan", "from bool", "extent", "extent", "tf32"])
        draft.use(f"odd: {form}")
        if form == "fma":
            parts = [self.floating(scope, d) for d in (depth, 0, 0)]
            return f"fma({', '.join(parts)})"
        if form == "pow":
            return f"pow(abs({self.floating(scope, depth)}) + 0.5, {draft.pick(['0.5', '1.5', '-1.0', '3'])})"
        if form == "bitcast":
            return f"bitcast(f32, i32(f32({self.integer(scope, depth)})) & 0x3fffffff)"
        if form == "tf32":
            return f"tf32(f32({self.floating(scope, depth)}))"
        if form == "inf":
            return f"max({self.floating(scope, depth)}, -inf)"
        if form == "nan":
            value = self.floating(scope, depth)
            return (
                f"({value} if {self.boolean(scope, 0)} else nan)"
                if draft.chance(0.3)
                else f"({value} if true else nan)"
            )
        if form == "from bool":
            return f"f32({self.boolean(scope, depth)})"
        return self._extent_macro(scope)

    def _extent_macro(self, scope: Scope) -> str:
        """A macro that divides by the extent of its index."""
        name = self._macro("def {name}[j](x) = sum[j](x) / extent(j)")
        index = bounds.fresh_index(self.draft)
        self.draft.use("macro: extent", f"bound: {'dim' if index.extent in self.draft.sizes else 'number'}")
        return f"{name}[{index.name}: {index.extent}]({self.floating([*bounds.with_extents(scope), index], 0)})"

    def _float_choice(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        condition, protects = bounds.protection(draft, scope)
        if protects is not None and draft.chance(0.5):
            tensor, text = protects
            draft.use("guard: if")
            value = text if tensor.dtype[0] in "fb" and tensor.dtype != "bool" else f"f32({text})"
            return f"({value} if {condition} else {self.floating(scope, depth)})"
        draft.use("if")
        return f"({self.floating(scope, depth)} if {self.boolean(scope, depth)} else {self.floating(scope, 0)})"

    def _float_cast(self, scope: Scope, depth: int) -> str:
        source = self.draft.pick(["float", "float", "int"])
        dtype = self.draft.pick(FLOATS)
        self.draft.use(f"cast: to {dtype}", f"cast: from {source}")
        inner = self.floating(scope, depth) if source == "float" else self.integer(scope, depth)
        return f"{dtype}({inner})"

    def _float_macro(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        if draft.chance(0.3):
            draft.use("macro: type")
            name = self._macro("def {name}(x, S) = S(x * 0.5) + x")
            return f"{name}({self.floating(scope, depth)}, {draft.pick(FLOATS)})"
        if draft.chance(0.5):
            draft.use("macro: value")
            name = self._macro("def {name}(x, y) = max(x, y) - x * 0.5")
            return f"{name}({self.floating(scope, depth)}, {self.floating(scope, 0)})"
        draft.use("macro: index")
        forms = [
            "def {name}[j](x) = max[j](x) + log(sum[j](exp(x - max[j](x))))",
            "def {name}[j](x) = sum[j](x * x) - sum[j](x) * sum[j](x)",
            "def {name}[j](x) = sum[j](exp(x - max[j](x)) * x) / sum[j](exp(x - max[j](x)))",
        ]
        name = self._macro(forms[1] if draft.whole else draft.pick(forms))
        binders, where, inner = bounds.binders(draft, scope, self)
        return f"{name}[{binders}{where}]({self.floating(inner, 0)})"

    def _macro(self, form: str) -> str:
        known = [text for text in self.draft.macros if text.split("=", 1)[1] == form.split("=", 1)[1]]
        if known:
            return known[0].split("[")[0].split("(")[0].removeprefix("def ").strip()
        name = self.draft.fresh("helper")
        self.draft.macros.append(form.format(name=name))
        return name

    def _float_reduce(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        op = draft.pick(["sum", "sum", "sum", "max", "min", "mean", "prod"])
        draft.use(f"reduce: {op}")
        if op == "sum" and bounds.with_extents(scope) and draft.chance(0.3):
            return self._triangle(bounds.with_extents(scope))
        binders, where, inner = bounds.binders(draft, scope, self)
        if op == "sum" and draft.chance(0.4):
            draft.use("contraction")
            return f"sum[{binders}{where}]({self._float_leaf(inner)} * {self._float_leaf(inner)})"
        if op == "mean" and draft.chance(0.5):
            draft.use("reduce: mean of integers")
            return f"mean[{binders}{where}]({self.integer(inner, min(depth, 1))})"
        body = self.floating(inner, min(depth, 1))
        if op == "prod" and not draft.whole:
            body = f"1 + 0.1 * sin({body})"
        return f"{op}[{binders}{where}]({body})"

    def _triangle(self, scope: Scope) -> str:
        """A causal sum: the bound names an outer index, and so does the body (else it would be a scan)."""
        index, outer = bounds.fresh_index(self.draft), self.draft.pick(scope).name
        op = self.draft.pick(["<", "<=", ">", ">="])
        self.draft.use("where: triangle", f"bound: {'dim' if index.extent in self.draft.sizes else 'number'}")
        leaf = self._float_leaf([*scope, index])
        return (
            f"sum[{index.name}: {index.extent} where {index.name} {op} {outer}]({leaf} * f32({outer} - {index.name}))"
        )

    # ------------------------------------------------------------ integers

    def integer(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        if depth <= 0:
            return self._integer_leaf(scope)
        forms = [
            self._integer_operator, self._integer_operator, self._integer_operator, self._bits, self._integer_reduce,
            self._integer_cast, self._integer_cast, self._integer_choice, self._position, self._odd_integer,
        ]  # fmt: skip
        return draft.pick(forms)(scope, depth - 1)

    def _integer_leaf(self, scope: Scope) -> str:
        draft = self.draft
        tensors = readable(draft, scope, "int")
        if tensors and draft.chance(0.75):
            return read(draft, scope, draft.pick(tensors), draft.pick(["0", "1", "7"]))
        return draft.pick([self._integer_literal, self._integer_scalar, self._integer_name])(scope)

    def _integer_literal(self, scope: Scope) -> str:
        text = self.draft.pick(["1", "2", "3", "5", "-4", "0x0f", "100"])
        self.draft.use("literal: hex" if text.startswith("0x") else "literal: integer")
        return f"i32({text})" if not text.startswith("-") else f"i32(0 - {text[1:]})"

    def _integer_scalar(self, scope: Scope) -> str:
        names = [name for name, dtype in self.draft.scalars if dtype[0] in "iu"]
        names += [name for name, kind, _ in self.draft.consts if kind == "int"]
        if not names:
            return "i32(2)"
        name = self.draft.pick(names)
        self.draft.use("const: int" if name.startswith("c") else "scalar: int")
        return f"i32({name})"

    def _integer_name(self, scope: Scope) -> str:
        if scope and self.draft.chance(0.7):
            self.draft.use("value: index")
            return f"i32({self.draft.pick(scope).name})"
        self.draft.use("value: dim")
        return f"i32({self.draft.pick(sorted(self.draft.sizes))})"

    def _integer_operator(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        op = draft.pick(["+", "-", "*", "//", "%", "neg", "min", "max", "**", "abs", "sign"])
        draft.use(f"int {op}")
        left = self.integer(scope, depth)
        if op in ("neg", "abs", "sign"):
            return f"(-{left})" if op == "neg" else f"{op}({left})"
        if op == "**" and draft.chance(0.5):
            draft.use("int ** of data")
            return f"({left}) ** ({self.integer(scope, 0)} & 3)"
        if op == "**":
            return f"({left}) ** {draft.pick('23')}"
        if op in ("//", "%"):
            divisor = draft.pick(["2", "3", "7", f"max({self.integer(scope, 0)}, 1)"])
            return f"({left} {op} {divisor})"
        right = self.integer(scope, 0)
        return f"{op}({left}, {right})" if op in ("min", "max") else f"({left} {op} {right})"

    def _bits(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["&", "|", "^", "<<", ">>", "~"])
        self.draft.use(f"int {op}")
        left = self.integer(scope, depth)
        if op == "~":
            return f"(~{left})"
        if op in ("<<", ">>"):
            return f"({left} {op} {self.draft.pick(['1', '3', f'({self.integer(scope, 0)} & 7)'])})"
        return f"({left} {op} {self.integer(scope, 0)})"

    def _integer_reduce(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["sum", "sum", "max", "min", "prod"])
        self.draft.use(f"int reduce: {op}")
        binders, where, inner = bounds.binders(self.draft, scope, self)
        if op == "sum" and self.draft.chance(0.4):
            self.draft.use("int contraction")
            return f"sum[{binders}{where}]({self._integer_leaf(inner)} * {self._integer_leaf(inner)})"
        return f"{op}[{binders}{where}]({self.integer(inner, min(depth, 1))})"

    def _position(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["argmax", "argmin"])
        self.draft.use(f"reduce: {op}")
        binders, where, inner = bounds.binders(self.draft, scope, self, often=0.4)
        if len(inner) == len(bounds.with_extents(scope)) + 2:
            self.draft.use("position: of two")
        body = self._integer_leaf(inner) if self.draft.chance(0.5) else self._float_leaf(inner)
        return f"i32({op}[{binders}{where}]({body}))"

    def _integer_cast(self, scope: Scope, depth: int) -> str:
        source = self.draft.pick(["float", "int", "bool"])
        dtype = self.draft.pick(INTEGERS)
        self.draft.use(f"cast: to {dtype}", f"cast: from {source}")
        inner = {"float": self.floating, "int": self.integer, "bool": self.boolean}[source](scope, depth)
        return f"{dtype}({inner})"

    def _integer_choice(self, scope: Scope, depth: int) -> str:
        self.draft.use("int if")
        return f"({self.integer(scope, depth)} if {self.boolean(scope, 0)} else {self.integer(scope, 0)})"

    def _odd_integer(self, scope: Scope, depth: int) -> str:
        form = self.draft.pick(["bitcast 32", "bitcast 16", "count", "pow"])
        self.draft.use(f"odd: {form}")
        if form == "bitcast 32":
            return f"bitcast({self.draft.pick(['i32', 'u32'])}, f32({self._float_leaf(scope)}) + 0)"
        if form == "bitcast 16":
            target, source = self.draft.pick(["i16", "u16"]), self.draft.pick(["f16", "bf16"])
            return f"bitcast({target}, {source}({self._float_leaf(scope)}))"
        if form == "pow":
            return f"pow({self.integer(scope, depth)}, 2)"
        binders, where, inner = bounds.binders(self.draft, scope, self)
        return f"sum[{binders}{where}]({self.boolean(inner, 0)})"

    # ------------------------------------------------------------ decisions

    def boolean(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        if depth <= 0:
            return self._bool_leaf(scope)
        forms = [self._comparison, self._comparison, self._connective, self._bool_reduce, self._bool_bits]
        return draft.pick(forms)(scope, depth - 1)

    def _bool_leaf(self, scope: Scope) -> str:
        draft = self.draft
        tensors = readable(draft, scope, "bool")
        if tensors and draft.chance(0.3):
            return read(draft, scope, draft.pick(tensors), draft.pick(["false", "true"]))
        if draft.chance(0.15):
            draft.use("const: bool")
            return draft.pick([name for name, kind, _ in draft.consts if kind == "bool"] or ["true", "false"])
        if draft.chance(0.5):
            return f"{self._integer_leaf(scope)} {self._order()} {self._integer_leaf(scope)}"
        return f"{self._float_leaf(scope)} {self._order(strict=True)} {draft.pick(['0.3', '-0.7', '1.5'])}"

    def _order(self, strict: bool = False) -> str:
        op = self.draft.pick(["<", ">", "<=", ">="] if strict else ["<", "<=", ">", ">=", "==", "!="])
        self.draft.use(f"compare {op}")
        return op

    def _comparison(self, scope: Scope, depth: int) -> str:
        draft = self.draft
        if draft.chance(0.2):
            draft.use("compare chain")
            return f"({self._integer_leaf(scope)} <= {self.integer(scope, depth)} < {self._integer_leaf(scope)})"
        if draft.chance(0.4):
            return f"({self.floating(scope, depth)} {self._order(strict=True)} {draft.pick(['0.37', '-1.13'])})"
        return f"({self.integer(scope, depth)} {self._order()} {self._integer_leaf(scope)})"

    def _connective(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["and", "or", "not"])
        self.draft.use(f"bool {op}")
        if op == "not":
            return f"(not {self.boolean(scope, depth)})"
        return f"({self.boolean(scope, depth)} {op} {self.boolean(scope, 0)})"

    def _bool_reduce(self, scope: Scope, depth: int) -> str:
        op = self.draft.pick(["any", "all"])
        self.draft.use(f"reduce: {op}")
        binders, where, inner = bounds.binders(self.draft, scope, self)
        return f"{op}[{binders}{where}]({self.boolean(inner, 0)})"

    def _bool_bits(self, scope: Scope, depth: int) -> str:
        self.draft.use("cast: to bool")
        return f"bool({self.integer(scope, depth)})"


_BUILT_INS: dict[str, Callable[[str], str]] = {
    "exp": lambda x: f"exp(-abs({x}))",
    "exp2": lambda x: f"exp2(min({x}, 3))",
    "log": lambda x: f"log(abs({x}) + 0.5)",
    "log2": lambda x: f"log2(abs({x}) + 0.25)",
    "log1p": lambda x: f"log1p(abs({x}))",
    "expm1": lambda x: f"expm1(min({x}, 2))",
    "sqrt": lambda x: f"sqrt(abs({x}) + 0.1)",
    "rsqrt": lambda x: f"rsqrt(abs({x}) + 1)",
    "sin": lambda x: f"sin({x})",
    "cos": lambda x: f"cos({x})",
    "tanh": lambda x: f"tanh({x})",
    "sigmoid": lambda x: f"sigmoid({x})",
    "erf": lambda x: f"erf({x})",
}
