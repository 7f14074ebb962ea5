import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from fedapp.chemistry.fingerprint import fingerprint
from tests.chemistry.structures import demo_smiles


@pytest.mark.parametrize(("radius", "bits"), [(3, 32768), (2, 1024), (0, 64)])
def test_bits_are_those_of_rdkits_bit_vector(radius: int, bits: int) -> None:
    oracle = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    for smiles in demo_smiles(every=40):
        mol = Chem.MolFromSmiles(smiles)
        assert fingerprint(mol, radius, bits).tolist() == list(oracle.GetFingerprint(mol).GetOnBits())


def test_bits_are_ascending_int32_within_the_length() -> None:
    on = fingerprint(Chem.MolFromSmiles("CC(=O)Oc1ccccc1C(=O)O"), 3, 512)
    assert on.dtype == np.int32
    assert (np.diff(on) > 0).all()
    assert 0 <= on[0] <= on[-1] < 512


def test_ecfp6_sees_three_bonds_far_and_no_further() -> None:
    near, far = (fingerprint(Chem.MolFromSmiles(smiles), 3, 32768) for smiles in ("CCCCCCCN", "CCCCCCCO"))
    shared = set(near) & set(far)
    assert set(fingerprint(Chem.MolFromSmiles("CCCC"), 0, 32768)) <= shared
    assert set(near) != set(far)
