"""A consortium across sites: SuperLink, gate and SuperNodes as real processes over TLS with authentication."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.app import Message

from fedapp.config import CONF, load_config
from fedapp.run_folder import RunFolder
from fedapp.runtime.flower import PROXIES
from fedapp.site.folder import Site
from simulation.preparation import prepare_partners
from strategies.update.shared_trunk import SharedTrunk
from tests.helpers.federation import federate, grid_for, step
from tests.site.run.connect_proxy import ConnectProxy, proxying
from tests.sites.consortium import Consortium, result, wait_for

pytestmark = pytest.mark.sites

NAMES = ["partner-1", "partner-2", "partner-3", "partner-4"]
ROUNDS = 4
SMALL = ("chemistry.bits=2048", "model.hidden=[32]", f"federation.rounds={ROUNDS}", "federation.round_timeout=120")
SEED = 5


def quiet(*_: object) -> None:
    """Shows nothing."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The same experiment in memory, its coordinator killed in the third round, when all updates have left."""
    config = load_config(CONF / "demo.yaml", (*SMALL, f"seed={SEED}", "federation.initial_trunk=seed"))
    run = RunFolder.create(tmp_path_factory.mktemp("simulated") / "run", config, "simulate")
    prepare_partners(run, quiet, quiet)

    def killed(partition: int, message: Message) -> Message:
        if (message.metadata.group_id, step(message)) == ("3", "ConsistencyCheck"):
            raise KeyboardInterrupt
        return message

    with pytest.raises(KeyboardInterrupt):
        federate(run, grid_for(run, down=killed))
    federate(run)
    return run


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    with proxying(ConnectProxy()) as proxy:
        yield proxy


@pytest.fixture
def consortium(tmp_path: Path, simulated: RunFolder, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consortium]:
    """Where the environment names a proxy that is not there, and one partner is behind another that is."""
    for name in PROXIES:
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    made = Consortium(tmp_path / "consortium", NAMES)
    datasets = {name: simulated.partner(name) / "dataset" for name in NAMES}
    made.set_up(datasets, CONF / "demo.yaml", *SMALL, "federation.initial_trunk=seed", seed=SEED)
    Site.open(made.site("partner-3")).changed(proxy=proxy.url)
    try:
        yield made
    finally:
        made.stop_all()


def test_partner_and_coordinator_are_killed_and_the_trunk_is_that_of_a_simulation_bit_for_bit(
    consortium: Consortium, simulated: RunFolder, proxy: ConnectProxy
) -> None:
    consortium.start_all()
    with consortium.federate():
        wait_for(lambda: consortium.finished("Unmasking", 1), "the first round's end")
        with consortium.held_up("partner-3"):  # the SuperLink announces a request once: nobody must be killed while it does
            wait_for(lambda: consortium.answered("partner-2", "MaskedInputCollection", 2), "the second round's upload")
            consortium.kill("partner-2")
        consortium.start("partner-2")
        wait_for(lambda: consortium.finished("Unmasking", 2), "the second round's end")
        inputs = [each.replied for each in consortium.journal() if each.phase == "MaskedInputCollection"]
        assert inputs == [4, 4, 4], "the partner that was killed after its upload is a survivor"
        wait_for(lambda: consortium.finished("MaskedInputCollection", 3), "the third round's masked inputs")
        consortium.kill("coordinator")
    consortium.start("coordinator")
    with consortium.federate() as running:
        assert result(running)["rounds"] == ROUNDS
    assert [each for each in consortium.journal() if each.left_out] == [], "nobody was missing"
    assert set(proxy.asked) == {f"127.0.0.1:{consortium.port}"}
    expected = SharedTrunk.read(simulated.partner(NAMES[0]) / "shared.safetensors")
    assert expected.version == ROUNDS
    for name in NAMES:
        trunk = consortium.trunk(name)
        assert trunk.version == ROUNDS
        assert [held.tobytes() for held in trunk.arrays] == [wanted.tobytes() for wanted in expected.arrays]
