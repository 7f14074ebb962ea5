"""What was repeated is shown beside what is allowed, and needs attention before it is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.cli import status as command
from fedapp.consortium.policy_file import read_policy_file, write_policy_file
from fedapp.partner_folder import PartnerFolder
from fedapp.site.folder import Site
from fedapp.site.status import page, prometheus
from fedapp.site.status.site_status import partner_status
from strategies.partner.repetition import write_repetition
from strategies.secagg.repetition import Repetition, RoundCount
from tests.site import saved_site
from tests.site.status import exposition

ONCE, TWICE = RoundCount(1, 1), RoundCount(2, 2)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A partner that holds the trunk of round 3, of 20; it may join 31 sessions, accept 50 changes and sign a round twice."""
    made = saved_site.fresh(tmp_path / "site")
    saved_site.hold_trunk(made, 3)
    return made


def told(site: Site, repetition: Repetition) -> dict[str, object]:
    write_repetition(PartnerFolder(site.state), repetition)
    return partner_status(site)


def warnings(site: Site, repetition: Repetition) -> list[tuple[str, str]]:
    return [(held["about"], held["told"]) for held in told(site, repetition)["warnings"]]  # type: ignore[attr-defined]


def test_sessions_cohorts_and_rounds_are_told_with_how_many_are_allowed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    status = told(site, Repetition({1: ONCE, 2: RoundCount(3, 1), 3: TWICE, 4: ONCE}, sessions=4, cohort_changes=2, survivors=(1, 2, 3)))
    assert status["repetition"] == {
        "sessions": 4,
        "cohort_changes": 2,
        "round": 4,
        "survivor_lists": 1,
        "repeated": [{"round": 2, "trainings": 3, "survivor_lists": 1}, {"round": 3, "trainings": 2, "survivor_lists": 2}],
        "allowed": {"survivor_lists": 2, "sessions": 31, "cohort_changes": 50},
    }
    assert status["warnings"] == status["problems"] == []
    command.status(site.path)
    printed = capsys.readouterr().out
    assert "sessions joined: 4 of 31; changes of cohort: 2 of 50\n" in printed
    assert "repeated rounds: 2 (trained 3×, signed 1×), 3 (trained 2×, signed 2×); at most 2× signed\n" in printed
    drawn = page.render(status, "nonce")
    for shown in ("4 of 31", "2 of 50", "2 (trained 3×, signed 1×), 3 (trained 2×, signed 2×); at most 2× signed"):
        assert shown in drawn
    families = exposition.read(prometheus.exposition(status))
    expected = {
        "sessions_total": 4,
        "sessions_allowed": 31,
        "cohort_changes_total": 2,
        "cohort_changes_allowed": 50,
        "survivor_lists": 1,
        "survivor_lists_allowed": 2,
        "rounds_repeated": 2,
    }
    assert {name: families[f"polyphony_{name}"].samples["", ()] for name in expected} == expected


def test_of_many_repeated_rounds_the_newest_are_named(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    told(site, Repetition(dict.fromkeys(range(1, 10), TWICE)))
    command.status(site.path)
    rounds = ", ".join(f"{number} (trained 2×, signed 2×)" for number in range(5, 10))
    assert f"repeated rounds: {rounds} and 4 before; at most 2× signed\n" in capsys.readouterr().out


def test_a_round_that_may_not_be_signed_again_needs_attention_until_its_sum_comes_home(site: Site) -> None:
    at_its_limit = Repetition({4: TWICE})
    ((about, sentence),) = warnings(site, at_its_limit)
    assert about == "Round 4 was repeated as often as is allowed"
    assert sentence.startswith("2 lists of its survivors were signed, of 2 that policy.yaml allows.")
    saved_site.hold_trunk(site, 4)
    assert warnings(site, at_its_limit) == []


@pytest.mark.parametrize(
    ("limit", "count", "then"),
    [
        ("sessions", 25, "25 sessions of this run were joined, of 31 that policy.yaml allows. What exceeds it is refused."),
        ("sessions", 31, "31 sessions of this run were joined, of 31 that policy.yaml allows. The next one is refused."),
        ("cohort_changes", 40, "40 times another cohort was signed for, of 50 that policy.yaml allows. What exceeds it is refused."),
        ("cohort_changes", 50, "50 times another cohort was signed for, of 50 that policy.yaml allows. The next one is refused."),
    ],
)
def test_who_comes_near_a_limit_is_told_before_it_is_reached(site: Site, limit: str, count: int, then: str) -> None:
    assert warnings(site, Repetition(**{limit: count - 1 if count in (25, 40) else count // 2})) == []
    assert warnings(site, Repetition(**{limit: count})) == [("Much was repeated", then)]
    assert limit in partner_status(site)["warnings"][0]["hint"]


def test_a_raised_limit_takes_the_warning_away_where_the_floor_allows_it(site: Site) -> None:
    write_policy_file(site.policy, replace(read_policy_file(site.policy), sessions=100))
    assert warnings(site, Repetition(sessions=31)) == []
    write_policy_file(site.policy, replace(read_policy_file(site.policy), sessions=100, survivor_lists=3))
    about = [held for held, _ in warnings(site, Repetition(sessions=31))]
    assert about == ["Every request is refused", "Much repetition"]


def test_without_the_file_that_says_it_nothing_is_told_but_that(site: Site) -> None:
    (site.state / "repetition.json").unlink()
    status = partner_status(site)
    assert status["repetition"] is None
    assert status["problems"] == [f"{site.state / 'repetition.json'} is missing"]
    assert "sessions_total" not in prometheus.exposition(status)
    page.render(status, "nonce")
    site.policy.unlink()
    assert told(site, Repetition(sessions=31))["repetition"]["allowed"]["sessions"] is None  # type: ignore[index]
    assert "sessions_allowed" not in prometheus.exposition(partner_status(site))
