"""The modules in `CHECKED` without one of their checks, for each check in turn: does a test of the attacks notice?

Checks are found in the source: conditions that raise or find that something proves nothing, each of their clauses and limits, calls that
verify, translations of exceptions, what ends a session after a refusal, answers of yes or no, choices by a condition, what is filtered out,
and the rows of a policy. A mutant is compiled in memory and put into the running function;
nothing is written.
"""

import ast
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from inspect import signature
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from strategies.secagg import (
    aggregate_check,
    collection,
    consistency,
    contributions,
    coordinator,
    handover,
    masking,
    participant,
    phases,
    policy,
    proofs,
    repetition,
    roster,
    seeds,
    session,
    shamir,
    shares,
    state,
    transcript,
    verification,
    wire,
)
from tests.strategies.secagg import (
    test_abandoned,
    test_agreed_trunk,
    test_coordinator,
    test_lying_coordinator_collection,
    test_lying_coordinator_consistency,
    test_lying_coordinator_handover,
    test_lying_coordinator_set_up,
    test_lying_coordinator_sum,
    test_lying_coordinator_unmasking,
    test_lying_partner,
    test_phases,
    test_proofs,
    test_repetition,
    test_roster,
    test_shamir,
    test_state,
    test_transcript,
    test_wire,
    test_wrong_shares,
)

CHECKED = (
    consistency,
    aggregate_check,
    collection,
    contributions,
    coordinator,
    handover,
    participant,
    phases,
    policy,
    proofs,
    masking,
    repetition,
    roster,
    seeds,
    session,
    shamir,
    shares,
    state,
    transcript,
    verification,
    wire,
)
ATTACKS = (
    test_abandoned,
    test_agreed_trunk,
    test_coordinator,
    test_lying_coordinator_collection,
    test_lying_coordinator_consistency,
    test_lying_coordinator_handover,
    test_lying_coordinator_set_up,
    test_lying_coordinator_sum,
    test_lying_coordinator_unmasking,
    test_lying_partner,
    test_phases,
    test_proofs,
    test_repetition,
    test_roster,
    test_shamir,
    test_state,
    test_transcript,
    test_wire,
    test_wrong_shares,
)
BLAMING = (contributions, handover, proofs, seeds, verification)  # of these every answer and choice, too: somebody is named by it
VERIFYING = ("verify", "check", "_check", "enough", "_threshold", "after", "member", "_join")
Replacement = tuple[ast.AST, str, Any, ast.AST]  # node, name of its field, what to put there, and what is missing then


@dataclass(frozen=True)
class Mutant:
    """A function without a check.

    Attributes:
        name: Where, and what is missing.
        line: First line of what changed, and `until` its last.
        function: As it runs.
        compiled: Makes the code to run in its place; it takes a while, and a name does not need it.
    """

    name: str
    file: str
    line: int
    until: int
    function: FunctionType
    compiled: Callable[[], CodeType]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The program with this mutant."""
        honest = self.function.__code__
        self.function.__code__ = self.compiled()
        try:
            yield
        finally:
            self.function.__code__ = honest


@dataclass
class Attack:
    """A test with its arguments, and which lines of the checked modules it runs.

    Attributes:
        lines, raising: File and line of what it runs, and of what an exception passes.
        seconds: How long it takes.
    """

    run: Callable[[], object]
    lines: set[tuple[str, int]] = field(default_factory=set)
    raising: set[tuple[str, int]] = field(default_factory=set)
    seconds: float = 0.0

    def fails(self) -> bool:
        try:
            self.run()
        except (Exception, pytest.fail.Exception):
            return True
        return False


# Mutants


def mutants() -> list[Mutant]:
    """One for each check of the protocol."""
    return [mutant for module in CHECKED for mutant in mutants_of(module)]


def mutants_of(module: ModuleType) -> Iterator[Mutant]:
    path = Path(str(module.__file__))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for room, owner in [(top, node) for top in tree.body for node in (top.body if isinstance(top, ast.ClassDef) else [top])]:
        if isinstance(owner, ast.FunctionDef):
            qualname = f"{room.name}.{owner.name}" if isinstance(room, ast.ClassDef) else owner.name
            for node, name, value, missing in replacements(owner, blaming=module in BLAMING):
                shown, function = ast.unparse(missing).splitlines()[0], running(module, qualname)
                compiled = partial(compiled_without, tree, path, owner, node, name, value)
                first = min(each.lineno for each in ast.walk(node) if isinstance(each, ast.expr | ast.stmt))
                last = max(each.end_lineno or 0 for each in ast.walk(node) if isinstance(each, ast.expr | ast.stmt))
                yield Mutant(f"{path.stem}.{qualname}: {shown[:100]}", str(path), first, last, function, compiled)


def replacements(owner: ast.FunctionDef, blaming: bool) -> Iterator[Replacement]:
    """What to change in a function, one at a time."""
    for node in ast.walk(owner):
        match node:
            case ast.If():
                yield from conditions(node, blaming)
            case ast.IfExp() if blaming:
                yield from choices(node)
            case ast.comprehension() if blaming:
                yield from filters(node)
            case ast.Return() if blaming and owner.returns is not None and ast.unparse(owner.returns) == "bool":
                yield from verdicts(node)
            case ast.Expr(value=ast.Call()) if called(node.value).startswith(VERIFYING):
                yield node, "value", ast.Constant(value=None), node
            case ast.withitem() if ast.unparse(node) == "self._refusing()":
                yield node, "context_expr", ast.parse("__import__('contextlib').nullcontext()", mode="eval").body, node
            case ast.ExceptHandler() if blaming or any(isinstance(each, ast.Raise) for each in node.body):
                yield from handlers(node)
            case ast.AnnAssign(value=ast.List()) if ast.unparse(node.target) == "rules":
                yield from rules(node.value)


def conditions(node: ast.If, blaming: bool) -> Iterator[Replacement]:
    """A condition under which something is refused, never; or one under which something counts, always."""
    refuses = any(isinstance(each, ast.Raise) or gives_up(each) for each in node.body)
    if not refuses and not blaming:
        return
    yield node, "test", ast.Constant(value=not refuses), node.test
    if isinstance(node.test, ast.BoolOp):
        yield from clauses(node, node.test)
    if refuses:
        yield from limits(node.test)


def filters(node: ast.comprehension) -> Iterator[Replacement]:
    """Nothing filtered out, and limits moved."""
    for condition in node.ifs:
        yield node, "ifs", [each for each in node.ifs if each is not condition], condition
        yield from limits(condition)


def rules(rows: ast.List) -> Iterator[Replacement]:
    """A row of a policy that allows everything."""
    for row in rows.elts:
        assert isinstance(row, ast.Tuple)
        yield row, "elts", [row.elts[0], ast.Constant(value=True), *row.elts[2:]], row
        yield from limits(row.elts[1])


def gives_up(node: ast.AST) -> bool:
    """Whether it returns that something does not hold."""
    return isinstance(node, ast.Return) and isinstance(node.value, ast.Constant) and node.value.value in (False, None)


def choices(node: ast.IfExp) -> Iterator[Replacement]:
    """One of two whatever the condition says, and the condition's limits moved."""
    for value in (True, False):
        yield node, "test", ast.Constant(value=value), node
    yield from limits(node.test)


def verdicts(node: ast.Return) -> Iterator[Replacement]:
    """An answer that is always yes, or always no; and each clause of it left out."""
    if not isinstance(node.value, ast.Constant):
        for value in (True, False):
            yield node, "value", ast.Constant(value=value), node
    if isinstance(node.value, ast.BoolOp):
        held = node.value
        for clause in held.values:
            yield node, "value", ast.BoolOp(op=held.op, values=[each for each in held.values if each is not clause] * 2), clause


def clauses(node: ast.If, test: ast.BoolOp) -> Iterator[Replacement]:
    """Each clause of a condition left out."""
    for clause in test.values:
        yield node, "test", ast.BoolOp(op=test.op, values=[each for each in test.values if each is not clause] * 2), clause


def limits(test: ast.AST) -> Iterator[Replacement]:
    """Each limit one lower, and one higher."""
    for node in ast.walk(test):
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.Lt | ast.LtE | ast.Gt | ast.GtE)
            and "set(" not in ast.unparse(node)
        ):
            for operator in (ast.Add(), ast.Sub()):
                moved = ast.BinOp(left=node.comparators[0], op=operator, right=ast.Constant(value=1))
                yield node, "comparators", [moved, *node.comparators[1:]], moved


def handlers(node: ast.ExceptHandler) -> Iterator[Replacement]:
    """An exception passed on as it is; or, where it is passed on, none passed on specially."""
    if len(node.body) > 1 or ast.unparse(node.body[0]) != "raise":
        yield node, "body", [ast.Raise()], node
    else:
        yield node, "type", ast.Tuple(elts=[], ctx=ast.Load()), node


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def compiled_without(tree: ast.Module, path: Path, owner: ast.FunctionDef, node: ast.AST, name: str, value: Any) -> CodeType:
    """The code of one function in a module with one field of a node changed."""
    honest = getattr(node, name)
    setattr(node, name, value)
    waiting = [compile(ast.fix_missing_locations(tree), str(path), "exec")]
    setattr(node, name, honest)
    while True:
        code = waiting.pop()
        if code.co_name == owner.name and code.co_firstlineno == min([owner.lineno, *(each.lineno for each in owner.decorator_list)]):
            return code
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def running(module: ModuleType, qualname: str) -> FunctionType:
    """The function as the program calls it, without its decorators."""
    found: Any = module
    for name in qualname.split("."):
        found = vars(found)[name]
    found = found.fget if isinstance(found, property) else found.func if isinstance(found, cached_property) else found
    function = getattr(found, "__wrapped__", found)
    assert isinstance(function, FunctionType)
    return function


# Attacks


def attacks() -> list[Attack]:
    """Every test of the attacks with its parameters, observed while the program is whole."""
    found = [Attack(run) for module in ATTACKS for function in tests_of(module) for run in with_parameters(function)]
    for attack in found:
        attack.run()  # prepares what is prepared once
        observe(attack)
    return sorted(found, key=lambda attack: attack.seconds)


def tests_of(module: ModuleType) -> list[Callable[..., object]]:
    """Those that need no fixture, and whose inputs are written down: drawn ones may miss the attack."""
    found = [value for name, value in vars(module).items() if name.startswith("test_") and isinstance(value, FunctionType)]
    return [test for test in found if not hasattr(test, "hypothesis") and "monkeypatch" not in signature(test).parameters]


def with_parameters(function: Callable[..., object]) -> Iterator[Callable[[], object]]:
    """A test for each combination of its parameters, as pytest would run it."""
    choices = []
    for mark in getattr(function, "pytestmark", []):
        names, values = mark.args[:2]
        single = isinstance(names, str)
        choices.append([{names: value} if single else dict(zip(names, value, strict=True)) for value in values])
    for chosen in itertools.product(*choices):
        yield partial(function, **{name: value for each in chosen for name, value in each.items()})


def observe(attack: Attack) -> None:
    """Run it, and note its lines."""
    files = {str(module.__file__) for module in CHECKED}

    def inside(frame: FrameType, event: str, _: object) -> Any:
        place = frame.f_code.co_filename, frame.f_lineno
        (attack.raising if event == "exception" else attack.lines).add(place)
        return inside

    def tracer(frame: FrameType, event: str, argument: object) -> Any:
        return inside(frame, event, argument) if frame.f_code.co_filename in files else None

    before, start = sys.gettrace(), time.perf_counter()
    sys.settrace(tracer)
    try:
        attack.run()
    finally:
        sys.settrace(before)
    attack.seconds = time.perf_counter() - start


def noticed(mutant: Mutant, observed: list[Attack]) -> bool:
    """Whether an attack succeeds against the mutant; those that the missing line used to stop come first."""
    places = {(mutant.file, line) for line in range(mutant.line, mutant.until + 1)}
    likely = [attack for attack in observed if attack.raising & places]
    others = [attack for attack in observed if attack.lines & places and not attack.raising & places]
    with mutant.in_place(), suppress(StopIteration):
        next(attack for attack in (*likely, *others) if attack.fails())
        return True
    return False
