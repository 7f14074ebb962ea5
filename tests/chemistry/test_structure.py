import numpy as np
import pytest

from fedapp.chemistry.structure import Structure, describe, describe_all
from tests.chemistry.structures import CHEMISTRY, KEY, demo_smiles


def test_one_smiles_gives_its_standard_form_bits_and_fold() -> None:
    structure = describe("CC(=O)[O-].[Na+]", CHEMISTRY, KEY)
    assert isinstance(structure, Structure)
    assert structure.smiles == "CC(=O)O"
    assert structure.bits.dtype == np.int32
    assert 0 <= structure.fold < CHEMISTRY.folds


def test_a_bad_smiles_gives_its_reason_and_rdkit_keeps_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    assert describe("C1CC", CHEMISTRY, KEY) == "SMILES cannot be parsed"
    assert capfd.readouterr() == ("", "")


def test_everything_follows_from_the_standardised_smiles_alone() -> None:
    for given in describe_all(demo_smiles(every=50), CHEMISTRY, KEY):
        assert isinstance(given, Structure)
        again = describe(given.smiles, CHEMISTRY, KEY)
        assert isinstance(again, Structure)
        assert (again.smiles, again.fold, again.bits.tolist()) == (given.smiles, given.fold, given.bits.tolist())
