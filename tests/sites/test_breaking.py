"""What breaks between sites, with real processes: the run goes on without the missing, and they come back."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from flwr.proto.message_pb2 import ObjectTree

from fedapp.config import CONF, load_config
from fedapp.data.demo import demo_dataset
from fedapp.site.run.inbox import Inbox, StoredRequest
from tests.sites.consortium import Consortium, result, wait_for
from tests.sites.slow_network import Link, namespaces, possible

pytestmark = pytest.mark.sites

NAMES = ["partner-1", "partner-2", "partner-3", "partner-4"]
SMALL = ("chemistry.bits=1024", "model.hidden=[16]", "federation.round_timeout=200")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real structures for every partner."""
    config, folder = load_config(CONF / "demo.yaml", SMALL), tmp_path_factory.mktemp("data")
    for number, name in enumerate(NAMES, 1):
        demo_dataset(folder / name, number, len(NAMES), config.chemistry, config.tasks)
    return {name: folder / name for name in NAMES}


@pytest.fixture
def consortium(tmp_path: Path) -> Iterator[Consortium]:
    made = Consortium(tmp_path / "consortium", NAMES)
    try:
        yield made
    finally:
        made.stop_all()


def agree(consortium: Consortium, rounds: int) -> bool:
    """Whether all partners hold the same trunk, with so many rounds behind it."""
    trunks = [consortium.trunk(name) for name in NAMES]
    return {trunk.version for trunk in trunks} == {rounds} and len({trunk.name for trunk in trunks}) == 1


def replied(consortium: Consortium, number: int) -> list[int]:
    return [each.replied for each in consortium.journal() if (each.phase, each.round) == ("MaskedInputCollection", number)]


def test_a_partner_that_stands_still_is_left_out_and_gets_the_trunk_when_it_goes_on(
    consortium: Consortium, datasets: dict[str, Path]
) -> None:
    """Its connections stay open, half of them: no error tells anybody, only silence."""
    consortium.set_up(datasets, CONF / "demo.yaml", *SMALL, "federation.rounds=5")
    consortium.start_all()
    with consortium.federate() as running:
        wait_for(lambda: consortium.finished("Unmasking", 1), "the first round")
        family = psutil.Process(consortium.serving["partner-3"].pid).children(recursive=True)
        for process in family:
            process.send_signal(signal.SIGSTOP)
        wait_for(lambda: consortium.finished("Unmasking", 3), "the third round, without the one that stands still")
        for process in family:
            process.send_signal(signal.SIGCONT)
        assert result(running)["rounds"] == 5
    assert replied(consortium, 3) == [3]
    assert agree(consortium, 5)


def test_all_machines_lose_power_at_once_and_the_rounds_go_on_where_they_were(consortium: Consortium, datasets: dict[str, Path]) -> None:
    consortium.set_up(datasets, CONF / "demo.yaml", *SMALL, "federation.rounds=3")
    consortium.start_all()
    with consortium.federate():
        wait_for(lambda: consortium.finished("MaskedInputCollection", 2), "the second round's masked inputs")
        consortium.stop_all()
    for name in NAMES:  # the power went just when each had heard of another request, which the new SuperLink knows nothing of
        Inbox(consortium.site(name) / "state" / "inbox").keep(StoredRequest(7, ObjectTree(object_id="ab" * 32).SerializeToString()))
    consortium.start_all()
    with consortium.federate() as running:
        assert result(running)["rounds"] == 3
    assert agree(consortium, 3)
    rounds = [each.round for each in consortium.journal() if each.phase == "Unmasking" and each.round]
    assert rounds == [1, 2, 3], "none was lost, and none was added up twice"


@pytest.mark.skipif(not possible(), reason="needs root, network namespaces and TUN devices")
def test_a_slow_and_lossy_network_delays_the_rounds_and_changes_nothing_else(tmp_path: Path, datasets: dict[str, Path]) -> None:
    spaces = ["pp0", "pp1", "pp2", "pp3", "pp4"]
    with namespaces(spaces, Link(rate=100e6, delay=0.050, loss=0.01)) as (addresses, traffic):
        inside = dict(zip(["coordinator", *NAMES], spaces, strict=True))
        consortium = Consortium(tmp_path / "consortium", NAMES, host=addresses["pp0"], spaces=inside)
        consortium.set_up(datasets, CONF / "demo.yaml", *SMALL, "federation.rounds=2")
        try:
            consortium.start_all()
            with consortium.federate() as running:
                assert result(running)["rounds"] == 2
        finally:
            consortium.stop_all()
    assert traffic.dropped > 0
    assert {each.replied for each in consortium.journal()} == {4}
    assert agree(consortium, 2)
