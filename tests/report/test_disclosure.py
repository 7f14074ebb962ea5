from collections.abc import Callable
from pathlib import Path

from fedapp.report.disclosure import Statement, disclosure
from fedapp.report.saved_run import read_run

Make = Callable[..., Path]


def told(run: Path, *changes: tuple[str, str]) -> list[Statement]:
    config = (run / "config.yaml").read_text()
    for before, after in changes:
        assert before in config
        config = config.replace(before, after)
    (run / "config.yaml").write_text(config)
    return disclosure(read_run(run))


def test_plain_aggregation_is_loud_whatever_the_row_guard(synthetic: Make) -> None:
    guarded, bare = told(synthetic("a", done=0, row_guard=10)), told(synthetic("b", done=0))
    assert [held.loud for held in guarded] == [True, False, False]
    assert [held.loud for held in bare] == [True, False, True]
    assert "list of fingerprint bits" in guarded[0].text
    assert "list of fingerprint bits" not in bare[0].text


def test_secure_aggregation_with_a_row_guard_is_not_loud(synthetic: Make) -> None:
    assert not [held for held in told(synthetic(done=0, secure=True, row_guard=3)) if held.loud]


def test_what_the_coordinator_may_know_is_told(synthetic: Make) -> None:
    shown = ("metrics_shown: []", "metrics_shown: [auc_pr, loss]")
    assert "the partners' mean of auc_pr and loss" in told(synthetic("a", done=0, secure=True), shown)[0].text
    assert "mean of" not in told(synthetic("b", done=0, secure=True))[0].text


def test_a_first_trunk_out_of_the_seed_is_no_secret_and_one_out_of_the_group_key_is(synthetic: Make) -> None:
    drawn = ("initial_trunk: seed", "initial_trunk: group_key")
    assert "was no secret" in told(synthetic("a", done=0, secure=True))[0].text
    assert "was no secret" not in told(synthetic("b", done=0, secure=True), drawn)[0].text


def test_partners_see_the_sum_and_count_each_bits_supporters_only_where_they_add_them_up_themselves(synthetic: Make) -> None:
    shapes = {"a": (True, 10), "b": (True, 0), "c": (False, 10)}
    seen = [told(synthetic(name, done=0, secure=secure, row_guard=guard))[1] for name, (secure, guard) in shapes.items()]
    assert [held.title for held in seen] == ["Partners saw the sum of the updates, and the trunk."] * 3
    assert ["how many partners support it" in held.text for held in seen] == [True, False, False]
