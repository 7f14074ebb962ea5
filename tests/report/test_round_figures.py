from collections.abc import Callable
from pathlib import Path

from fedapp.report.round_figures import left_out, phases, rounds_of
from fedapp.report.saved_run import read_run
from strategies.coordinator.journal import Exchange, Journal

Make = Callable[..., Path]


def exchange(number: int, phase: str, *reasons: str) -> Exchange:
    return Exchange(number, phase, 3, 3, 0, 0, 0.0, left_out=list(reasons))


def test_a_round_is_the_sum_of_its_exchanges_and_the_finish_belongs_to_none(synthetic: Make) -> None:
    rounds = rounds_of(read_run(synthetic(kind="simulate", secure=True, rounds=3)))
    assert [(record.name, record.exchanges) for record in rounds] == [("set-up", 5), ("1", 3), ("2", 3), ("3", 3), ("finish", 1)]
    assert [record.seconds for record in rounds] == [5 * 52.0, 3 * 53.0, 3 * 54.0, 3 * 55.0, 55.0]
    assert rounds[-1].bytes_up == 0
    assert [record.loss is not None for record in rounds] == [False, True, True, True, False]


def test_the_last_trunk_of_a_plain_run_goes_home_in_the_finish(synthetic: Make) -> None:
    rounds = rounds_of(read_run(synthetic(kind="simulate", rounds=2)))
    assert [(record.name, record.exchanges) for record in rounds] == [("1", 1), ("2", 1), ("finish", 1)]


def test_rounds_are_in_the_order_of_their_numbers(synthetic: Make) -> None:
    rounds = rounds_of(read_run(synthetic(kind="simulate", rounds=11)))
    assert [record.name for record in rounds] == [*map(str, range(1, 12)), "finish"]


def test_a_round_that_was_tried_again_shows_in_its_exchanges_and_its_fewest_replies(synthetic: Make) -> None:
    run = synthetic(kind="simulate", secure=True, rounds=2)
    Journal(run / "coordinator" / "journal.jsonl").append(Exchange(2, "MaskedInputCollection", 3, 1, 90, 30, 1.5))
    again = rounds_of(read_run(run))[2]
    assert (again.name, again.exchanges, again.replied, again.asked) == ("2", 4, 1, 3)


def test_phases_are_told_once_in_the_order_they_came() -> None:
    journal = [exchange(0, "AdvertiseKeys"), exchange(1, "train"), exchange(2, "Handover"), exchange(2, "train"), exchange(2, "final")]
    assert phases(journal) == {"set-up": ["AdvertiseKeys"], "a round": ["train", "Handover"], "finish": ["final"]}


def test_replies_left_out_are_gathered_by_phase_and_reason() -> None:
    journal = [exchange(0, "train", "no reply"), exchange(1, "train", "no reply", "no reply", "late"), exchange(1, "final", "no reply")]
    assert left_out(journal) == {
        ("train", "no reply"): ["set-up", "1"],
        ("train", "late"): ["1"],
        ("final", "no reply"): ["finish"],
    }
