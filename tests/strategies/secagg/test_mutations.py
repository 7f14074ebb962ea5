"""No check of the modules in `CHECKED` can be taken away without a test of the attacks noticing it."""

from dataclasses import replace
from functools import partial

import pytest

from tests.helpers.sweeps import every
from tests.strategies.secagg.mutations import CHECKED, Attack, Mutant, attacks, mutants, noticed

MUTANTS = mutants()


@pytest.fixture(scope="module")
def observed() -> list[Attack]:
    return attacks()


def test_checks_are_found_in_every_module() -> None:
    assert {mutant.file for mutant in MUTANTS} == {str(module.__file__) for module in CHECKED}
    assert len({mutant.name for mutant in MUTANTS}) > 150


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_an_attack_succeeds_without(mutant: Mutant, observed: list[Attack]) -> None:
    assert noticed(mutant, observed), f"{mutant.file}:{mutant.line} can be taken away: {mutant.name}"


def test_no_attack_succeeds_against_the_whole_protocol(observed: list[Attack]) -> None:
    for mutant in every(MUTANTS[:: len(MUTANTS) // 5], drawn=0):
        assert not noticed(replace(mutant, compiled=partial(getattr, mutant.function, "__code__")), observed)
