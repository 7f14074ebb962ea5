from pathlib import Path

from simulation.events import Follower
from tests.helpers.federated_run import NAMES, ROUNDS, federated_run


def test_what_is_new_comes_as_rounds_went_each_file_once(tmp_path: Path) -> None:
    """As where a run is resumed, which finds the rounds of before all at once."""
    follower = Follower(federated_run(tmp_path / "run"))
    assert [(event.round, event.loss is None, event.partner) for event in follower.events()] == [
        (number, evaluated, name) for number in range(1, ROUNDS + 1) for evaluated in (False, True) for name in NAMES
    ]
    assert follower.events() == []
