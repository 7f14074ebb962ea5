"""Own compounds by which a round's self-audit judges what a vector tells of who was trained on: training folds against the others."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedapp.config import Config
from fedapp.data.dataset import Dataset
from fedapp.seeds import derived_seed
from strategies.update.candidates import Candidates, drawn
from strategies.update.holders import fingerprint_marks
from strategies.update.leakage import Library


def round_candidates(dataset: Dataset, config: Config, number: int) -> Candidates:
    """Of either kind as many as there are, or as a round draws; the same for its update and for its sum."""
    held_out = tuple(sorted(config.held_out_folds().values()))
    generator = np.random.default_rng(derived_seed(config.seed, "self-audit", number))
    kinds = different(dataset.directory, dataset.digest, tuple(config.training_folds()), held_out)
    trained, others = (drawn(rows, generator) for rows in kinds)
    library = Library(*dataset.fingerprints(np.concatenate([trained, others])), dataset.bits)
    return Candidates(library, np.arange(len(trained) + len(others)) < len(trained))


@lru_cache(maxsize=16)
def different(
    directory: Path, _digest: str, training: tuple[int, ...], held_out: tuple[int, ...]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Compounds that were trained on, and those that were not, one of each fingerprint; what is equal to a trained one was trained on."""
    dataset = Dataset.open(directory)
    rows = np.concatenate([dataset.rows_in(training), dataset.rows_in(held_out)])
    marks = fingerprint_marks(*dataset.fingerprints(rows), dataset.bits)
    kept = np.unique(marks, return_index=True)[1]  # the first of each, so a trained one where there is one
    first, trained = np.sort(kept), len(dataset.rows_in(training))
    return rows[first[first < trained]], rows[first[first >= trained]]
