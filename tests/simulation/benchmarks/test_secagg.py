"""The benchmark of secure aggregation: a round of real parties whose sum is checked, beside yardsticks of its own. No time is asserted."""

import json
import os
import tracemalloc

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from fedapp.cli import benchmark as verb
from fedapp.errors import ConfigError
from simulation.benchmarks import secagg
from simulation.benchmarks.first_version import first_version
from simulation.benchmarks.secagg import Bench, BenchmarkSetting, bare_masks, measure
from simulation.benchmarks.signature_memory import SignatureMemory
from simulation.benchmarks.stock_secagg import stock_round
from simulation.benchmarks.tally import Tally
from strategies.secagg.collection import Collection
from strategies.secagg.errors import SignatureError
from strategies.secagg.identity import Identity, PublicIdentity
from strategies.secagg.keystream import BLOCK_BYTES, DTYPES, add_streams
from strategies.secagg.rehearsal import NUMBER, VERSION
from strategies.secagg.roster import default_threshold

KEYS = {
    *("partners", "words", "dropped", "exact", "exchanges_per_round", "threads", "mask_ratio"),
    *("partner_mask_s", "partner_share_s", "mask_floor_s", "partner_unmask_s", "partner_answer_s", "coordinator_s", "set_up_s"),
    *("coordinator_set_up_s", "partner_steps_s", "coordinator_steps_s", "version_1", "partners_measured"),
    *("upload_bytes", "answer_bytes", "download_bytes", "set_up_bytes", "float32_bytes"),
}
STOCK = {"stock_partner_s", "stock_coordinator_s", "stock_words", "coordinator_speedup"}
NESTED = {"partner_steps_s", "coordinator_steps_s", "version_1"}


@pytest.mark.parametrize(
    "setting",
    [
        BenchmarkSetting(5, 3000, 0.2),
        BenchmarkSetting(6, 70_000, 0.0, threads=2),
        BenchmarkSetting(4, 1, 0.0),
        BenchmarkSetting(7, 5000, 0.3, word_bits=16),
    ],
)
def test_the_sum_is_exact_and_everything_is_told(setting: BenchmarkSetting) -> None:
    told = measure(setting)
    assert set(told) == KEYS | STOCK
    assert told["exact"] is True
    assert told["dropped"] == len(setting.dropped())
    assert told["partners_measured"] == setting.partners - told["dropped"]
    assert all(told[key] > 0 for key in (KEYS | STOCK) - NESTED - {"dropped"})
    assert [*told["partner_steps_s"]] == [*told["coordinator_steps_s"], "Finish"]
    assert all(seconds > 0 for steps in ("partner_steps_s", "coordinator_steps_s") for seconds in told[steps].values())
    assert told["exchanges_per_round"] == 3
    json.dumps(told)


def test_the_comparison_with_flower_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg, "stock_round", None)
    told = measure(BenchmarkSetting(4, 100, 0.0), stock=False)
    assert told["exact"] is True
    assert {key: told[key] for key in STOCK} == dict.fromkeys(STOCK)


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_of_many_partners_a_few_are_measured_and_all_take_part(drop: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg, "MEASURED", 3)
    tally, setting = Tally(), BenchmarkSetting(10, 50, drop)
    bench = Bench(setting, tally)
    assert bench.round()
    names = ("mask_floor", "partner_mask", "partner_share", "partner_answer", "partner_unmask", "set_up")
    assert {tuple(tally.spent[name]) for name in names} == {tuple(bench.measured)}
    assert 2 <= len(bench.measured) <= 3
    assert not set(bench.measured) & set(setting.dropped())
    assert len(tally.spent["upload_bytes"]) == 10 - len(setting.dropped())


def test_growth_is_told_beside_the_first_versions_law() -> None:
    told = first_version(200, 100_000, 10)
    assert told["law"]["partner_share_s"] == "0.002 + 1.9e-07 n^3"
    assert told["partner_share_s"] == pytest.approx(0.002 + 1.9e-7 * 200**3)
    assert told["coordinator_s"] == pytest.approx(1.5e-3 * 200 + 4.2e-7 * 200**3 + 1e-9 * 100_000 * (200 + 190 * 11))
    assert {*told} == {"law", *told["law"]} <= {"law", *KEYS}


def test_a_signature_that_was_checked_is_remembered_and_one_that_is_wrong_is_refused_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    identity, checked = Identity.generate(), []
    verify = PublicIdentity.verify
    monkeypatch.setattr(PublicIdentity, "verify", lambda *given: (checked.append(given[2]), verify(*given))[1])
    memory, signature = SignatureMemory(), identity.sign(b"right")
    for _ in range(2):
        with memory.used():
            identity.public.verify(signature, b"right", 1)
            with pytest.raises(SignatureError, match="partner 7"):
                identity.public.verify(signature, b"wrong", 7)
    assert checked == [b"right", b"wrong", b"wrong"]
    identity.public.verify(signature, b"right", 1)
    assert checked == [b"right", b"wrong", b"wrong", b"right"], "outside, everything is checked"


@pytest.fixture
def a_wrong_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum in the clear lacks what partner 2 sent."""
    whole = Bench.write

    def forgetful(bench: Bench, index: int, private: np.ndarray) -> None:
        before = bench.plain.copy()
        whole(bench, index, private)
        if index == 2:
            bench.plain = before

    monkeypatch.setattr(Bench, "write", forgetful)


@pytest.mark.usefixtures("a_wrong_sum")
def test_a_sum_that_lacks_a_contribution_is_not_exact() -> None:
    assert not Bench(BenchmarkSetting(4, 100, 0.0), Tally()).round()


def test_the_share_of_partners_that_drop_out_is_rounded_down_and_spread() -> None:
    assert BenchmarkSetting(10, 1, 0.0).dropped() == ()
    assert BenchmarkSetting(10, 1, 0.19).dropped() == (1,)
    assert BenchmarkSetting(10, 1, 0.3).dropped() == (1, 4, 7)
    assert len(BenchmarkSetting(100, 1, 0.29).dropped()) == 29


@pytest.mark.parametrize("changed", [{"partners": 2}, {"words": 0}, {"threads": 0}, {"drop": -0.1}, {"drop": 1.0}, {"word_bits": 8}])
def test_a_setting_out_of_bounds_is_named(changed: dict[str, float]) -> None:
    ((name, value),) = changed.items()
    with pytest.raises(ConfigError, match="^cannot measure partners ") as error:
        BenchmarkSetting(**({"partners": 10, "words": 10, "drop": 0.1} | changed))  # type: ignore[arg-type]
    assert f"{name.replace('_', ' ')} {value}" in str(error.value).removeprefix("cannot measure ").split(", ")


def test_more_drop_outs_than_a_round_survives_are_refused_beforehand() -> None:
    BenchmarkSetting(10, 10, 0.3)
    with pytest.raises(ConfigError, match="leaves 6 of 10 partners, and 7 are needed"):
        BenchmarkSetting(10, 10, 0.4)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("word_bits", [32, 16])
@pytest.mark.parametrize("words", [1, 1000, BLOCK_BYTES // 2 * 5 + 7])
def test_the_floor_adds_the_streams_that_masking_adds(words: int, word_bits: int, threads: int) -> None:
    keys = [os.urandom(32) for _ in range(3)]
    floor = np.arange(words).astype(DTYPES[word_bits])
    masked = floor.copy()
    bare_masks(floor, keys, threads)
    add_streams(masked, keys, threads=threads)
    assert np.array_equal(floor, masked)


def test_a_partner_holds_at_most_three_vectors() -> None:
    words = 1_000_000
    setting = BenchmarkSetting(4, words, 0.0)
    bench = Bench(setting, Tally())
    rehearsal, coordinator = bench.rehearsal, bench.rehearsal.coordinator
    rehearsal.set_up()
    collection = Collection(coordinator, NUMBER, coordinator.members())
    peaks = []
    for index in collection.cohort:
        request = coordinator.collect_request(index, NUMBER, collection.cohort, False, VERSION, None, None)
        tracemalloc.start()
        reply, vector = rehearsal.mask(index, request, bench.write)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        collection.add_input(index, reply, vector)
    rehearsal.agree(collection)
    masked_sum = rehearsal.reveal(collection)
    tracemalloc.start()
    decoded = rehearsal.decode(1, collection, masked_sum)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert np.array_equal(decoded, bench.plain)
    assert 4 * words < max(peaks) < 3 * 4 * words + 2_000_000


def test_flowers_secagg_decodes_the_mean_over_its_survivors() -> None:
    setting = BenchmarkSetting(7, 2000, 0.3)
    stock = stock_round(7, default_threshold(7), setting.dropped(), setting.update)
    survivors = [setting.update(index) for index in range(1, 8) if index not in setting.dropped()]
    assert len(survivors) == 5
    assert np.allclose(stock.mean, np.mean(survivors, axis=0), atol=16 / 2**22)  # its step: 16 / 2^22


def test_flowers_secagg_on_shorter_vectors_is_not_compared_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg, "MOST_STOCK_WORDS", 100)
    monkeypatch.setattr(secagg, "STOCK_WORDS", 50)
    told = measure(BenchmarkSetting(3, 101, 0.0))
    assert told["stock_words"] == 50
    assert told["coordinator_speedup"] is None
    assert told["exact"]


def test_time_spent_in_a_function_can_be_counted_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 4.0, 9.0])
    monkeypatch.setattr("simulation.benchmarks.tally.perf_counter", lambda: next(clock))
    tally = Tally()
    with tally.moved(os, "getpid", "all", "inside", 5), tally.time("all", 5):
        os.getpid()
    assert tally.spent["inside"][5] == 3.0
    assert tally.spent["all"][5] == 6.0
    assert isinstance(os.getpid(), int)
    assert next(clock, None) is None


def command() -> typer.Typer:
    app = typer.Typer()
    app.add_typer(verb.app, name="benchmark")
    return app


def test_the_command_prints_json() -> None:
    result = CliRunner().invoke(command(), ["benchmark", "secagg", "--partners", "4", "--words", "500", "--drop", "0", "--json"])
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == KEYS | STOCK | {"provenance"}


def test_the_command_prints_a_table_with_ratios() -> None:
    result = CliRunner().invoke(command(), ["benchmark", "secagg", "--partners", "10", "--words", "500"])
    assert result.exit_code == 0
    assert "10 partners, 1 dropped, 500 words" in result.stdout
    assert "the sum is exact" in result.stdout
    assert " x the floor of " in result.stdout
    assert "x faster" in result.stdout


def test_the_command_tells_of_growth_where_the_comparison_with_flower_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secagg, "stock_round", None)
    result = CliRunner().invoke(command(), ["benchmark", "secagg", "--partners", "4", "--words", "50", "--drop", "0", "--no-stock"])
    assert result.exit_code == 0, result.output
    assert "version 1's law: " in result.stdout
    assert "SecAgg+" not in result.stdout


@pytest.mark.usefixtures("a_wrong_sum")
def test_the_command_fails_when_the_sum_is_wrong() -> None:
    result = CliRunner().invoke(command(), ["benchmark", "secagg", "--partners", "4", "--words", "50", "--drop", "0"])
    assert result.exit_code == 1
    assert "the sum is WRONG" in result.stdout
