"""A partner's state on disk: whatever it is not is refused by name, since keys are read from it."""

import hashlib
from dataclasses import replace

import pytest

from strategies.secagg import wire
from strategies.secagg.errors import MalformedMessageError
from strategies.secagg.state import MARK, State, dump, load


def test_what_was_written_is_read() -> None:
    assert load(dump(State())) == State()


def test_a_state_that_does_not_begin_as_one_is_refused_whatever_comes_behind() -> None:
    with pytest.raises(MalformedMessageError, match="does not begin as one of version 2"):
        load(bytes(len(MARK)) + dump(State())[len(MARK) :])


def test_a_state_of_which_digest_or_content_was_altered_is_refused() -> None:
    whole = dump(State())
    for place in range(len(MARK), len(MARK) + 32):
        with pytest.raises(MalformedMessageError, match="not what its own digest says"):
            load(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])


def test_a_state_in_a_phase_that_there_is_not_is_refused_though_its_digest_is_right() -> None:
    content = wire.encode(replace(State(), phase="Lunch"))
    with pytest.raises(MalformedMessageError, match="no phase 'Lunch'"):
        load(MARK + hashlib.sha256(content).digest() + content)
