"""The coordinator's gate, in a process of its own and attacked by another: partners are answered, and it does not grow.

How fast they are answered depends on the machine, and is measured: `python -m tests.sites.gate_under_attack`.
"""

import resource
from collections.abc import Iterator

import pytest

from tests.sites.gate_under_attack import ATTACKS, RUSH, Gate, gate_in_its_process

pytestmark = pytest.mark.sites
GROWN = 50e6  # bytes
SECONDS = 3.0


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # attackers inherit it
    try:
        with gate_in_its_process(tmp_path_factory.mktemp("gate")) as gate:
            yield gate
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ATTACKS)
def test_under_attack_the_gate_answers_every_partner_and_does_not_grow(gate: Gate, name: str) -> None:
    attack, signed = ATTACKS[name]
    figures = gate.under(attack, signed, SECONDS)
    assert figures.seconds
    assert figures.refused == [] or name == RUSH
    assert figures.grown < GROWN, "above what it had before all attacks"
