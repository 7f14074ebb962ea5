"""A partner's own policy stands above whatever the coordinator asks."""

import json
from pathlib import Path

import numpy as np
import pytest

from fedapp.data.dataset import Dataset
from fedapp.partner_folder import PartnerFolder
from fedapp.run_folder import RunFolder
from fedapp.storage.json_file import read_json
from strategies.coordinator.exchange import RoundFailedError
from strategies.secagg.phases import Phase, Step
from strategies.secagg.state import State, load
from strategies.update.self_audit import OWN
from tests.helpers.federation import alike, all_held, federate, grid_for, held, step, transcripts, write_policy
from tests.helpers.request_lines import read_requests
from tests.helpers.sealed import by_hand
from tests.helpers.small_run import rewrite_fingerprints, small_run

STRICTER = [
    ("configuration", "c" * 64, "the coordinator proposes configuration"),
    ("layout", "256x9,9", "the coordinator proposes trunk layout 256x8,8, and this partner's policy says 256x9,9"),
    ("word_bits", [16], "the coordinator proposes word bits 32, and this partner's policy says (16,)"),
    ("row_guard", 4, "the coordinator proposes row guard 3, and this partner's policy says at least 4"),
    ("least_supporters", 4, "the coordinator proposes least supporters 3, and this partner's policy says at least 4"),
    ("rounds", 2, "the coordinator proposes rounds 3, and this partner's policy says at most 2"),
    ("metrics_shown", [], "the coordinator proposes metrics shown ('loss',), and this partner's policy says ()"),
]


@pytest.mark.parametrize(("key", "value", "words"), STRICTER, ids=[each[0] for each in STRICTER])
def test_a_proposal_outside_everybodys_policy_ends_the_run(tmp_path: Path, key: str, value: object, words: str) -> None:
    run = small_run(tmp_path / "run", "federation.metrics_shown=[loss]")
    for name in run.partners():
        write_policy(run, name, key, value)
    grid = grid_for(run)
    with pytest.raises(RoundFailedError, match="0 partners advertised, and 3 are needed"):
        federate(run, grid)
    assert read_json(run.coordinator / "outcome.json")["error"] == "set-up: 0 partners advertised, and 3 are needed"
    assert {step(message) for message in grid.sent} == {Step.ADVERTISE_KEYS}
    assert all(message.has_error() and not message.has_content() for message in grid.received)
    for index, name in enumerate(run.partners(), 1):
        assert read_json(run.partner(name) / "error.json")["error"].startswith(f"PolicyError: {words}")
        state = load((run.partner(name) / "protocol.state").read_bytes())
        assert state == State(phase=Phase.FAILED.value)
        assert [entry.refused for entry in transcripts(run)[index]] == ["PolicyError"] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("rounds: 3=rounds: 30", "configuration"),
        ("row_guard: 3=row_guard: 0", "configuration"),
        ("least_supporters: 3=least_supporters: 2", "configuration"),
        ("learning_rate: 0.004=learning_rate: 0.4", "configuration"),
        ("metrics_shown: []=metrics_shown: [loss]", "metrics shown ('loss',)"),
    ],
)
def test_a_coordinator_whose_experiment_was_changed_is_refused(tmp_path: Path, change: str, words: str) -> None:
    run = small_run(tmp_path / "run")
    old, new = change.split("=")
    config = run.path / "config.yaml"
    assert config.read_text().count(f" {old}\n") == 1
    config.write_text(by_hand(config.read_text().replace(f" {old}\n", f" {new}\n")))
    with pytest.raises(RoundFailedError, match="0 partners advertised"):
        federate(run)
    for name in run.partners():
        assert read_json(run.partner(name) / "error.json")["error"].startswith(f"PolicyError: the coordinator proposes {words}")
        assert not (run.partner(name) / "shared.safetensors").exists()


def test_one_partner_with_a_stricter_policy_is_left_out_of_the_session(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "data.partners=4", "federation.min_partners=3", "federation.rounds=1")
    write_policy(run, "partner-2", "row_guard", 20)
    federate(run)
    assert not (run.partner("partner-2") / "shared.safetensors").exists()
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=1)
    write_policy(run, "partner-2", "row_guard", 3)
    federate(run)
    assert alike(all_held(run), version=1)


def test_a_partner_that_wants_more_survivors_refuses_a_smaller_session(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "data.partners=4", "federation.min_partners=3", "federation.rounds=1")
    write_policy(run, "partner-2", "least_survivors", 4)
    grid = grid_for(run)
    grid.disconnect(3)
    with pytest.raises(RoundFailedError, match="2 partners contributed keys, and 3 are needed"):
        federate(run, grid)
    assert "TooFewPartnersError: 3 partners in the session, and 4 are needed" in read_json(run.partner("partner-2") / "error.json")["error"]
    federate(run)
    assert alike(all_held(run), version=1)


def test_a_policy_that_pins_another_roster_refuses_every_session(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run")
    write_policy(run, "partner-2", "roster", "ab" * 32)
    with pytest.raises(RoundFailedError, match="2 partners advertised"):
        federate(run)
    assert read_json(run.partner("partner-2") / "error.json")["error"].startswith("PolicyError: the roster is ")
    assert not (run.partner("partner-2") / "protocol.state").exists()


def test_a_looser_policy_accepts_what_is_stricter(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=1")
    for key, value in (
        ("row_guard", 1),
        ("least_supporters", 2),
        ("rounds", 100),
        ("word_bits", [16, 32]),
        ("metrics_shown", ["loss", "auc_pr"]),
    ):
        write_policy(run, "partner-2", key, value)
    federate(run)
    assert alike(all_held(run), version=1)


# What a partner allows its own update to tell

EXCLUSIVE = 176  # bits from here on are two compounds' own, in pairs


def give_compounds_bits_of_their_own(run: RunFolder, name: str) -> int:
    """Two for each of forty compounds, which no other has; how many of these are trained on."""
    held = Dataset.open(run.partner(name) / "dataset")
    prints = [held.x_indices[held.x_indptr[row] : held.x_indptr[row + 1]] for row in range(len(held.folds))]
    own = [[EXCLUSIVE + 2 * row, EXCLUSIVE + 2 * row + 1] if row < 40 else [] for row in range(len(prints))]
    changed = [np.array([*bits[bits < EXCLUSIVE], *extra], dtype=np.int32) for bits, extra in zip(prints, own, strict=True)]
    rewrite_fingerprints(held, np.cumsum([0, *map(len, changed)]), np.concatenate(changed))
    return int(np.sum(held.rows_in(run.config().training_folds()) < 40))


def own_audits(run: RunFolder, name: str) -> list[dict[str, int]]:
    lines = PartnerFolder(run.partner(name)).audits.read_text().splitlines()
    return [held for held in map(json.loads, lines) if held["vector"] == OWN]


def test_a_partner_without_a_row_guard_refuses_to_name_its_compounds_and_the_others_finish(tmp_path: Path) -> None:
    """The coordinator's configuration asks for no guard; this partner's policy says what its update may tell all the same."""
    run = small_run(tmp_path / "run", *("data.partners=4", "federation.min_partners=3", "federation.rounds=2", "privacy.row_guard=0"))
    named, folder = give_compounds_bits_of_their_own(run, "partner-2"), run.partner("partner-2")
    write_policy(run, "partner-2", "most_identified", 0.001)
    federate(run)
    assert alike([held(run, name) for name in run.partners() if name != "partner-2"], version=2)
    refused = [each for each in read_requests(folder) if each.refused]
    assert {(each.step, each.bytes_out) for each in refused} == {(Step.COLLECT, 0)}
    for each, number in zip(refused, "12", strict=True):
        assert f"LeakError: the update of round {number} names " in each.refused
    for told in own_audits(run, "partner-2"):
        assert 0.7 * named <= told["identified"] <= told["compounds"]


def test_the_row_guard_leaves_an_update_that_names_none_of_them(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "federation.rounds=2", "privacy.row_guard=3")
    give_compounds_bits_of_their_own(run, "partner-2")
    federate(run)
    assert alike(all_held(run), version=2)
    told = own_audits(run, "partner-2")
    assert [(each["round"], each["identified"]) for each in told] == [(1, 0), (2, 0)]
    assert min(each["fewest"] for each in told) >= 3
