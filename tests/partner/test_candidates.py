"""Which own compounds a round's self-audit holds against each other."""

from dataclasses import replace

import numpy as np
import pytest

from fedapp.config import Config, load_config
from fedapp.data.dataset import Dataset
from fedapp.partner.candidates import round_candidates
from strategies.update import candidates as drawing
from strategies.update.candidates import Candidates
from tests.model.synthetic import from_dense

CONFIG = load_config(overrides=("chemistry.bits=64",))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Dataset:
    """Compounds of all folds; the first two of fold 0, which is trained on, have the fingerprints of the next two and of a held-out one."""
    random, count = np.random.default_rng(0), 300
    dense, folds = random.random((count, 64)) < 0.3, np.arange(count) % CONFIG.chemistry.folds
    (trained,) = np.nonzero(np.isin(folds, CONFIG.training_folds()))
    (held_out,) = np.nonzero(np.isin(folds, list(CONFIG.held_out_folds().values())))
    dense[trained[1]] = dense[held_out[0]] = dense[trained[0]]
    dense[held_out[2]] = dense[held_out[1]]
    labels = random.random((count, 2)) < 0.5
    made = replace(from_dense("alpha", dense, labels, np.ones_like(labels), folds), digest=request.node.name)
    monkeypatch.setattr(Dataset, "open", lambda directory: made)
    return made


def prints(drawn: Candidates, trained: bool) -> list[tuple[int, ...]]:
    """The fingerprints of one kind."""
    pieces = np.split(drawn.library.indices, drawn.library.indptr[1:-1])
    return [tuple(piece.tolist()) for piece, kind in zip(pieces, drawn.trained, strict=True) if kind == trained]


def expected(made: Dataset, config: Config) -> tuple[set[tuple[int, ...]], set[tuple[int, ...]]]:
    """Fingerprints of training folds, and those of held-out ones that are not among them."""

    def of(folds: list[int]) -> set[tuple[int, ...]]:
        return {tuple(made.fingerprints(np.array([row]))[1].tolist()) for row in made.rows_in(folds)}

    trained = of(config.training_folds())
    return trained, of(list(config.held_out_folds().values())) - trained


def test_candidates_are_of_training_folds_and_of_those_kept_aside_each_fingerprint_once(opened: Dataset) -> None:
    """What was kept aside and is equal to a compound that was trained on cannot be told from it."""
    drawn = round_candidates(opened, CONFIG, 1)
    trained, others = expected(opened, CONFIG)
    assert sorted(prints(drawn, True)) == sorted(trained)
    assert sorted(prints(drawn, False)) == sorted(others)
    assert len(others) == len(opened.rows_in(list(CONFIG.held_out_folds().values()))) - 2


def test_a_round_draws_so_many_of_either_kind_the_same_each_time_and_others_in_the_next(
    opened: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "MOST", 12)
    first, again, following = (round_candidates(opened, CONFIG, number) for number in (1, 1, 2))
    for kind, all_of_it in zip((True, False), expected(opened, CONFIG), strict=True):
        assert len(set(prints(first, kind))) == 12 and set(prints(first, kind)) <= all_of_it
        assert prints(first, kind) == prints(again, kind) != prints(following, kind)
