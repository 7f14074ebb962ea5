"""The coordinator's journal: what was appended reads back, also after a kill."""

from pathlib import Path

from strategies.coordinator.journal import Exchange, Journal, read_journal, round_seconds


def exchange(number: int, phase: str, seconds: float = 1.0) -> Exchange:
    return Exchange(number, phase, 3, 2, 1000, 500, seconds, {"loss": 0.5} if phase == "Unmasking" else {}, ["no reply"])


def test_every_exchange_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "coordinator" / "journal.jsonl"
    assert read_journal(path) == []
    written = [exchange(0, "AdvertiseKeys"), exchange(1, "Unmasking")]
    for each in written:
        Journal(path).append(each)  # as processes that follow each other
    assert read_journal(path) == written
    assert len(path.read_text().splitlines()) == 2


def test_a_line_cut_off_anywhere_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append(exchange(1, "train"))
    first = path.read_bytes()
    journal.append(exchange(2, "train"))
    whole = path.read_bytes()
    for length in range(len(first), len(whole)):
        path.write_bytes(whole[:length])
        assert read_journal(path) == [exchange(1, "train")]


def test_the_seconds_of_a_round_are_those_of_its_exchanges() -> None:
    secure = [exchange(number, phase, 2.0) for number in (1, 2) for phase in ("MaskedInputCollection", "ConsistencyCheck", "Unmasking")]
    around = [exchange(0, "AdvertiseKeys"), exchange(0, "MaskedInputCollection"), exchange(2, "Handover"), exchange(2, "Finish")]
    assert round_seconds([*around, *secure]) == [6.0, 6.0]
    assert round_seconds([exchange(0, "rows"), exchange(2, "train", 3.0), exchange(1, "train", 4.0), exchange(2, "final")]) == [4.0, 3.0]
    assert round_seconds([]) == []
