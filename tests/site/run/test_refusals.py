"""What `polyphony serve` says when a partner refuses a request."""

from pathlib import Path

import pytest

from fedapp.site.request_log import Request, note_request
from fedapp.site.run import serve as serving
from fedapp.site.run.refusals import Refusals
from tests.site import saved_site


def request(refused: str) -> Request:
    return Request(time="2026-11-22T10:14:03+00:00", run=1, step="", round="1", bytes_in=1, bytes_out=0, seconds=0.1, refused=refused)


def test_each_refusal_from_now_on_is_told_once_and_steers_no_terminal(tmp_path: Path) -> None:
    note_request(tmp_path, request("of yesterday"))
    refusals = Refusals(tmp_path / "requests.jsonl")
    assert refusals.new() == []
    note_request(tmp_path, request(""))
    note_request(tmp_path, request("PolicyError: \x1b[2Kthe coordinator proposes rounds 9"))
    (told,) = refusals.new()
    assert told.startswith("a request was refused: PolicyError: ") and "\x1b" not in told
    assert refusals.new() == []


def test_where_nothing_was_asked_yet_nothing_is_told(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path / "requests.jsonl")
    assert refusals.new() == []
    note_request(tmp_path, request("one"))
    assert refusals.new() == ["a request was refused: one"]


def test_serve_says_it_in_a_line_with_where_more_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site, looks = saved_site.fresh(tmp_path / "site"), iter(range(3))

    def sleep(seconds: float) -> None:
        if next(looks, None) is None:
            raise KeyboardInterrupt
        note_request(site.state, request("PolicyError: rounds 9"))

    monkeypatch.setattr(serving.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        serving.run_for_ever(site, [])
    assert caplog.messages == [f"a request was refused: PolicyError: rounds 9; polyphony status {site.path} says more"] * 3
