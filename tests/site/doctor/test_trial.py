"""The masked sum that `polyphony doctor` tries."""

import random

import pytest

from fedapp.errors import RunError
from fedapp.site.doctor.trial import trial_sum
from strategies.secagg.participant import Participant
from tests.strategies.secagg.parties import roster_of


@pytest.mark.parametrize("word_bits", [16, 32])
@pytest.mark.parametrize(("partners", "threshold"), [(3, 2), (3, 3), (4, 3), (5, 5), (7, 5)])
def test_a_trial_sum_is_exact_and_somebody_drops_out_where_the_threshold_allows_it(partners: int, threshold: int, word_bits: int) -> None:
    tried = trial_sum(roster_of(partners, threshold), word_bits)
    assert tried.partners == partners
    assert bool(tried.dropped) == (partners > max(3, threshold))


def test_a_trial_sum_that_is_wrong_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = Participant.finish

    def one_off(self: Participant, *arguments: object) -> object:
        sums = finish(self, *arguments)  # type: ignore[arg-type]
        sums[random.randrange(len(sums))] += 1
        return sums

    monkeypatch.setattr(Participant, "finish", one_off)
    with pytest.raises(RunError, match="came out wrong"):
        trial_sum(roster_of(4), 32)
