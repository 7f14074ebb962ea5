from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

from fedapp.chemistry.fold import PUBLIC_KEY, fold_of, key_digest, read_key, scaffold, series_of
from fedapp.errors import DataError
from tests.chemistry.structures import KEY, demo_smiles
from tests.helpers.sweeps import examples

DEMO = [(smiles, Chem.MolFromSmiles(smiles)) for smiles in demo_smiles(every=10)]


def fold(smiles: str, key: bytes = KEY, folds: int = 5) -> int:
    return fold_of(series_of(smiles, Chem.MolFromSmiles(smiles), key), folds)


def test_the_scaffold_is_rdkits_murcko_scaffold() -> None:
    for _, mol in DEMO:
        assert scaffold(mol) == MurckoScaffold.MurckoScaffoldSmiles(mol=mol)


def test_a_series_lies_in_one_fold() -> None:
    series = ["c1ccc2[nH]ccc2c1", "Cc1ccc2[nH]ccc2c1", "OC(=O)Cc1c[nH]c2ccccc12", "NCCc1c[nH]c2ccc(O)cc12"]
    assert len({fold(smiles) for smiles in series}) == 1


def test_folds_stay_what_they_were_in_the_first_release() -> None:
    """Changing one of these splits every consortium's folds: it needs a new version in the hashed text and a line in the changelog."""
    known = {"c1ccccc1": 1, "Cc1ccccc1": 1, "c1ccc2[nH]ccc2c1": 2, "C1CCCCC1": 0, "CCO": 0, "CCCN": 2, "CCOCC": 4}
    assert {smiles: fold(smiles, PUBLIC_KEY) for smiles in known} == known


def test_partners_with_one_key_agree_and_another_key_splits_differently() -> None:
    ours, theirs, others = (
        [fold_of(series_of(s, mol, key), 5) for s, mol in DEMO] for key in (KEY, bytes(KEY), b"some other consortium's key")
    )
    assert ours == theirs
    different = sum(a != b for a, b in zip(ours, others, strict=True))
    assert different > 0.5 * len(DEMO)


def test_acyclic_molecules_are_spread_over_all_folds() -> None:
    chains = [smiles for smiles, mol in DEMO if mol.GetRingInfo().NumRings() == 0]
    counts = Counter(fold(smiles) for smiles in chains)
    assert len(chains) > 50
    assert set(counts) == set(range(5))
    assert max(counts.values()) < 0.4 * len(chains)


def test_all_folds_get_a_fair_share_of_scaffolds() -> None:
    scaffolds = sorted({scaffold(mol) for _, mol in DEMO} - {""})
    counts = Counter(fold(smiles) for smiles in scaffolds)
    assert min(counts.values()) > 0.1 * len(scaffolds)


@given(smiles=st.sampled_from([smiles for smiles, _ in DEMO]), folds=st.integers(3, 100), key=st.binary(min_size=16, max_size=64))
@examples(60)
def test_a_fold_is_within_range_and_the_same_every_time(smiles: str, folds: int, key: bytes) -> None:
    assert 0 <= fold(smiles, key, folds) < folds
    assert fold(smiles, key, folds) == fold(smiles, key, folds)


def test_without_a_key_file_the_public_key_is_used() -> None:
    assert read_key(None) == PUBLIC_KEY


def test_a_key_file_is_read_without_the_editors_final_newline(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert read_key(str(tmp_path / "key")) == KEY


def test_a_missing_key_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere") as error:
        read_key(str(tmp_path / "nowhere"))
    assert "fold_key_file" in error.value.hint


def test_a_short_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    with pytest.raises(DataError, match="6 bytes, fewer than 16"):
        read_key(str(tmp_path / "key"))


HEX = "0123456789abcdef" * 4
SAVED = {
    "as it is": HEX.encode(),
    "with a Windows line end": f"{HEX}\r\n".encode(),
    "in UTF-8 with a mark": f"\ufeff{HEX}\n".encode(),
    "in little-endian UTF-16": b"\xff\xfe" + f"{HEX}\r\n".encode("utf-16-le"),
    "in big-endian UTF-16": b"\xfe\xff" + HEX.encode("utf-16-be"),
    "in capitals": HEX.upper().encode(),
    "in quotes": f'"{HEX}"\n'.encode(),
    "in single quotes": f"'{HEX}'".encode(),
    "in a letter's quotes": f"\u201c{HEX}\u201d".encode(),
    "between blank lines": f"\n\n  {HEX}\t\n\n".encode(),
}


@pytest.mark.parametrize("how", SAVED)
def test_one_key_gives_one_set_of_folds_however_it_was_saved(how: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(SAVED[how])
    assert read_key(str(tmp_path / "key")) == HEX.encode()


def test_accents_composed_and_decomposed_are_one_key(tmp_path: Path) -> None:
    keys = []
    for spelled in ("cl\u00e9 de notre consortium", "cle\u0301 de notre consortium"):
        (tmp_path / "key").write_text(spelled, encoding="utf-8")
        keys.append(read_key(str(tmp_path / "key")))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "plain",
    [b"a consortium's long and secret key", b'say "friend" and enter, all of you', b"Capitals In A Sentence Stay", bytes(range(128, 160))],
)
def test_what_is_part_of_a_key_stays(plain: bytes, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(plain + b"\n")
    assert read_key(str(tmp_path / "key")) == plain


@pytest.mark.parametrize(
    ("content", "why"),
    [(f"{HEX}\n{HEX}\n".encode(), "2 lines"), (f"# our key\n{HEX}\n".encode(), "2 lines"), (HEX.encode("utf-16-le"), "zero bytes")],
)
def test_a_file_that_is_not_one_key_is_an_error_that_does_not_show_it(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(DataError, match=why) as error:
        read_key(str(tmp_path / "key"))
    assert HEX[:8] not in str(error.value) + error.value.hint


def test_the_digest_of_a_key_is_short_stable_and_its_own() -> None:
    digests = {key_digest(key) for key in (KEY, PUBLIC_KEY, HEX.encode())}
    assert len(digests) == 3
    assert all(len(digest) == 12 and int(digest, 16) >= 0 for digest in digests)
    assert key_digest(PUBLIC_KEY) == "38a2a913ee3a"  # partners of different releases compare it


def test_molecules_of_one_scaffold_are_one_series_and_acyclic_ones_each_their_own() -> None:
    numbers = [series_of(smiles, Chem.MolFromSmiles(smiles), KEY) for smiles in ("Cc1ccccc1", "OCc1ccccc1", "c1ccncc1", "CCO", "CCN")]
    assert numbers[0] == numbers[1]
    assert len(set(numbers)) == 4
