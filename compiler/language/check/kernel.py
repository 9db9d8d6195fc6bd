"""Owns checking one kernel for one instance, from its expanded statements to the typed kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tilewright.compiler.language import limits, tree, typed
from tilewright.compiler.language.check import dims, order, recurrences, signature, statements
from tilewright.compiler.language.check.context import Context, Scope, Shaped
from tilewright.compiler.language.check.dtypes import ERROR, plain
from tilewright.compiler.language.check.lower import Lowering
from tilewright.compiler.language.check.problems import Problems, note
from tilewright.compiler.language.check.schedules import check_schedules
from tilewright.compiler.language.check.walk import indices_of, parts, reads_values


@dataclass(frozen=True)
class Expanded:
    """A kernel whose statements are free of macros; ``macros`` are the names its file can call."""

    kernel: tree.Kernel
    statements: tuple[tree.Statement, ...]
    macros: frozenset[str]


def check_kernel(
    expanded: Expanded, instance: typed.Instance, schedules: Sequence[tree.Schedule], problems: Problems
) -> typed.TypedKernel | None:
    """The typed kernel of ``expanded`` for ``instance``; None after errors, which go to ``problems``."""
    return _KernelCheck(expanded, instance, problems).run(schedules)


class _KernelCheck:
    def __init__(self, expanded: Expanded, instance: typed.Instance, problems: Problems) -> None:
        self.kernel = expanded.kernel
        self.statements = expanded.statements
        self.instance = instance
        self.problems = problems
        self.context = Context(problems, instance)
        self.lowering = Lowering(self.context, expanded.macros)
        self.inouts = frozenset(p.name.id for p in self.kernel.tensors if p.qualifier == "inout")
        self.lefts: dict[int, statements.Left | None] = {}
        self.typed: dict[int, typed.Statement | None] = {}
        self.tables: list[typed.Table] = []

    def run(self, schedules: Sequence[tree.Schedule]) -> typed.TypedKernel | None:
        context, kernel = self.context, self.kernel
        before = len(self.problems.found)
        signature.declare_names(context, kernel)
        scalars = signature.declare_scalars(context, kernel)
        signature.declare_tensors(context, self.lowering, kernel.tensors, "in")
        bound = dims.bind_dims(context, kernel)
        dims.solve_requires(context, self.lowering, kernel, bound)
        signature.declare_tensors(context, self.lowering, kernel.outputs, "out")
        dims.check_shapes(context, kernel)
        self._check_statements()
        inputs = signature.tensors_of(context, kernel.tensors)
        outputs = signature.tensors_of(context, kernel.outputs)
        settings = check_schedules(schedules, self.statements, self.problems)
        if len(self.problems.found) > before:
            return None
        return typed.TypedKernel(
            kernel.span,
            kernel.name.id,
            kernel.doc,
            self.instance,
            tuple(context.dims),
            tuple(context.bindings),
            tuple(context.solutions),
            tuple(self._needed_checks()),
            inputs,
            scalars,
            outputs,
            tuple(self.tables),
            tuple(s for _, s in sorted(self.typed.items()) if s is not None),
            settings,
        )

    def _needed_checks(self) -> list[typed.LaunchCheck]:
        """The launch checks without those of values that no output needs: what is not computed does not fail."""
        results = self.inouts | {p.name.id for p in self.kernel.outputs}
        needed = order.live(self.statements, order.plan(self.statements, self.inouts).reads, frozenset(results))
        owner = self.context.checked_for
        kept = [c for at, c in enumerate(self.context.checks) if at not in owner or owner[at] in needed]
        unique: dict[typed.Expr, typed.LaunchCheck] = {}
        for check in kept:
            unique.setdefault(check.condition, check)
        return list(unique.values())

    # ------------------------------------------------------------ statements

    def _check_statements(self) -> None:
        plan = order.plan(self.statements, self.inouts)
        order.check_order(self.context, self.statements, plan, self.inouts)
        self._check_targets()
        for number, statement in enumerate(self.statements):
            cycle = plan.cycles[number]
            if isinstance(statement.value, tree.Table):
                self._table(statement)
            elif cycle:
                self._cycle_statement(number, cycle)
            else:
                self._plain_statement(number)
        self._check_size()
        self._check_written()

    def _table(self, statement: tree.Statement) -> None:
        made = statements.table(self.context, statement)
        if made is None:
            return
        shape = tuple(typed.Literal(statement.span, typed.INDEX, n) for n in made.shape)
        name = statement.name.id
        self.context.shaped[name] = Shaped(name, made.dtype, shape, "table", statement.name.span)
        self.tables.append(made)

    def _plain_statement(self, number: int) -> None:
        statement, context = self.statements[number], self.context
        context.statement, context.defining = number, frozenset({statement.name.id})
        if self._is_input(statement):
            return
        shaped = self._target(statement)
        left = statements.left_side(self.lowering, statement, shaped)
        if left is None:
            self._forget(statement)
            return
        if shaped is None and not left.ranges and self._alias(statement):
            return
        target = shaped or self._local(statement, left, "f32")
        stored = None if shaped is None else shaped.dtype
        result = statements.lowered(self.lowering, statement, left, target, stored)
        self.typed[number] = result
        if shaped is None and result is not None:
            context.shaped[statement.name.id] = replace(target, dtype=result.dtype)
        elif shaped is None:
            self._forget(statement)
        if result is not None and statement.name.id in self.inouts:
            self._check_in_place(number, result)

    def _forget(self, statement: tree.Statement) -> None:
        """After an error in a local's statement its readers are not blamed."""
        name = statement.name.id
        if name not in self.context.shaped:
            shape = tuple(typed.Literal(statement.span, typed.INDEX, 0) for _ in statement.subscripts or ())
            self.context.shaped[name] = Shaped(name, ERROR, shape, "local", statement.name.span)
        elif self.context.shaped[name].role == "local":
            self.context.shaped[name] = replace(self.context.shaped[name], dtype=ERROR)

    def _is_input(self, statement: tree.Statement) -> bool:
        shaped = self.context.shaped.get(statement.name.id)
        return shaped is not None and shaped.role == "in"

    def _target(self, statement: tree.Statement) -> Shaped | None:
        """The output or inout that a statement writes; None for a local name."""
        shaped = self.context.shaped.get(statement.name.id)
        return shaped if shaped is not None and shaped.role in ("out", "inout") else None

    def _local(self, statement: tree.Statement, left: statements.Left, dtype: str) -> Shaped:
        name = statement.name.id
        return Shaped(name, dtype, tuple(r.hi for r in left.ranges), "local", statement.name.span)

    def _alias(self, statement: tree.Statement) -> bool:
        """A scalar name over dims and consts alone is that expression wherever it is used."""
        assert isinstance(statement.value, tree.Expr)
        context = self.context
        found, reads = len(self.problems.found), len(context.reads)
        value = self.lowering.value(statement.value, Scope())
        if value.dtype != typed.INDEX or reads_values(value) or indices_of(value) or statement.where is not None:
            del context.reads[reads:]
            del self.problems.found[found:]
            return False
        context.aliases[statement.name.id] = value
        return True

    # ------------------------------------------------------------ recurrences

    def _cycle_statement(self, number: int, cycle: frozenset[str]) -> None:
        members = [
            k for k, s in enumerate(self.statements) if s.name.id in cycle and not isinstance(s.value, tree.Table)
        ]
        if number == members[0]:
            self._declare_cycle(members, cycle)
        self._lower_in_cycle(number, cycle)
        if number == members[-1]:
            self._finish_cycle(members, cycle)

    def _declare_cycle(self, members: list[int], cycle: frozenset[str]) -> None:
        """Left sides and provisional types of all statements of a recurrence, before any is lowered."""
        for number in members:
            statement = self.statements[number]
            self.context.statement, self.context.defining = number, cycle
            shaped = self._target(statement)
            left = self.lefts[number] = statements.left_side(self.lowering, statement, shaped)
            if left is None:
                self._forget(statement)
            elif shaped is None:
                self.context.shaped[statement.name.id] = self._local(statement, left, "f32")

    def _lower_in_cycle(self, number: int, cycle: frozenset[str]) -> None:
        statement, left, context = self.statements[number], self.lefts[number], self.context
        context.statement, context.defining = number, cycle
        shaped = context.shaped.get(statement.name.id)
        if left is None or shaped is None or shaped.dtype == ERROR:
            return
        found, reads = len(self.problems.found), len(context.reads)
        result = statements.lowered(self.lowering, statement, left, shaped, shaped.dtype)
        if result is not None and shaped.role == "local" and _carries_f64(result):
            del self.problems.found[found:]
            del context.reads[reads:]
            shaped = context.shaped[statement.name.id] = replace(shaped, dtype="f64")
            result = statements.lowered(self.lowering, statement, left, shaped, "f64")
        self.typed[number] = result

    def _finish_cycle(self, members: list[int], cycle: frozenset[str]) -> None:
        group: list[recurrences.Member] = []
        for number in members:
            result, left = self.typed.get(number), self.lefts.get(number)
            if result is None or left is None:
                return
            if result.scatter or result.op != "=" or result.where is not None:
                self._refuse_recurrence(self.statements[number])
                return
            axes = tuple(r.index for r in left.ranges)
            group.append(recurrences.Member(number, result.target, axes, result))
        found = recurrences.steps(self.context, group)
        if found is None:
            return
        names = tuple(dict.fromkeys(m.name for m in group))
        for member in group:
            self.typed[member.number] = statements.with_steps(member.statement, found[member.name], names)

    def _refuse_recurrence(self, statement: tree.Statement) -> None:
        message = f"`{statement.name.id}` reads itself, so it is defined by one plain `=` over its indices"
        self.problems.add("TW0609", statement.span, message, expected="`name[indices] = …` without `where`")

    # ------------------------------------------------------------ rules about several statements

    def _check_targets(self) -> None:
        """What may be written, how often, and with which operators."""
        seen: dict[str, list[tree.Statement]] = {}
        outputs = {p.name.id for p in self.kernel.outputs}
        inputs = {p.name.id for p in self.kernel.tensors} - self.inouts
        for statement in self.statements:
            name, earlier = statement.name.id, seen.setdefault(statement.name.id, [])
            if name in inputs:
                self._refuse_input(statement)
            elif name not in outputs and name not in self.inouts:
                self._check_local(statement, earlier)
            elif earlier and not _may_follow(statement, earlier):
                self._refuse_mixed(statement, earlier[-1])
            earlier.append(statement)

    def _refuse_input(self, statement: tree.Statement) -> None:
        name = statement.name.id
        taken = self.context.taken[name]
        message = f"`{name}` is an input and cannot be written"
        notes = note(taken[1], f"declare it `inout {name}` to change it in place")
        self.problems.add("TW0610", statement.name.span, message, notes=notes)

    def _check_local(self, statement: tree.Statement, earlier: list[tree.Statement]) -> None:
        name = statement.name.id
        if earlier:
            message = f"`{name}` is defined twice"
            notes = note(earlier[0].name.span, f"`{name}` is defined here")
            self.problems.add("TW0606", statement.name.span, message, expected="one statement", notes=notes)
        elif statement.op != "=":
            message = f"`{name}` is not an output: only outputs and inouts accumulate with `{statement.op}`"
            notes = note(None, "write a reduction, for example `sum[k](…)`")
            self.problems.add("TW0607", statement.name.span, message, notes=notes)
        elif statement.where is not None:
            message = f"`{name}` is not an output, so every point of it is defined: `where` has no place here"
            notes = note(None, "write `a if c else b`")
            self.problems.add("TW0608", statement.where.span, message, notes=notes)

    def _refuse_mixed(self, statement: tree.Statement, earlier: tree.Statement) -> None:
        message = f"`{statement.name.id}` is changed by `{statement.op}` after `{earlier.op}`"
        notes = note(earlier.span, f"`{earlier.op}` stands here")
        expected = "one operator, after at most one plain `=`"
        self.problems.add("TW0606", statement.name.span, message, expected=expected, notes=notes)

    def _check_in_place(self, number: int, statement: typed.Statement) -> None:
        """The statement of an inout reads it only at the element that it writes."""
        atoms = self.context.atoms
        written = [atoms.of(s) for s in statement.subscripts]
        for recorded in self.context.reads:
            own = recorded.statement == number and recorded.read.tensor == statement.target
            if own and [atoms.of(s) for s in recorded.read.subscripts] != written:
                message = f"`{statement.target}` is changed in place, so its statement reads only the element it writes"
                notes = note(None, "write the result to an output of its own")
                self.problems.add("TW0605", recorded.read.span, message, notes=notes)

    def _check_written(self) -> None:
        written = {s.name.id for s in self.statements}
        for param in self.kernel.outputs:
            if param.name.id not in written and self.context.taken[param.name.id][1] == param.name.span:
                message = f"output `{param.name.id}` is never written"
                self.problems.add("TW0211", param.name.span, message, expected=f"a statement `{param.name.id}[…] = …`")

    def _check_size(self) -> None:
        total = 0
        for statement in self.typed.values():
            total += _operations(statement.value) if statement is not None else 0
        if total > limits.KERNEL_OPERATIONS:
            message = f"this kernel has more than {limits.KERNEL_OPERATIONS} operations"
            self.problems.add("TW0811", self.kernel.name.span, message, found=str(total))


def _may_follow(statement: tree.Statement, earlier: list[tree.Statement]) -> bool:
    """Several statements of one output share their operator; one plain ``=`` may stand before others."""
    operators = [s.op for s in earlier]
    if statement.op == operators[-1]:
        return True
    return operators == ["="]


def _carries_f64(statement: typed.Statement) -> bool:
    value = statement.value
    return statement.dtype == "f32" and isinstance(value, typed.Cast) and plain(value.operand.dtype) == "f64"


def _operations(expr: typed.Expr) -> int:
    total, pending = 0, [expr]
    while pending:
        one = pending.pop()
        total += not isinstance(one, typed.Literal | typed.Index | typed.Dim)
        pending += parts(one)
    return total
