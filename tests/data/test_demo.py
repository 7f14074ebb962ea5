from pathlib import Path

import polars as pl
import pytest

from fedapp.chemistry.structure import Structure, describe_all
from fedapp.config import load_config
from fedapp.data import demo as demo_module
from fedapp.data.demo import NOTE, demo_compounds, demo_dataset, demo_tables, nci_structures
from fedapp.errors import DataError
from tests.chemistry.structures import CHEMISTRY, KEY
from tests.helpers.sweeps import EFFORT

PARTNERS = 4


def structures() -> list[tuple[str, str]]:
    return nci_structures()[:: 1 if EFFORT.full else 5]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables of all partners; unless `--full`, of every fifth structure."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_module, "nci_structures", structures)
        for partner in range(1, PARTNERS + 1):
            demo_tables(folder / f"{partner}", partner, PARTNERS)
    return [folder / f"{partner}" for partner in range(1, PARTNERS + 1)]


def ids(tables: Path) -> set[str]:
    return set(pl.read_csv(tables / "compounds.csv", infer_schema=False)["compound_id"])


def endpoints(tables: Path) -> set[str]:
    return set(pl.read_csv(tables / "activities.csv", infer_schema=False)["assay_id"])


def test_the_structures_are_the_4999_that_rdkit_ships() -> None:
    assert len(nci_structures()) == 4999
    assert len(dict(nci_structures())) == 4999


def test_partners_differ_in_size_and_share_some_compounds() -> None:
    compounds = [{name for name, _ in demo_compounds(partner, PARTNERS)} for partner in range(1, PARTNERS + 1)]
    sizes = list(map(len, compounds))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 1.5 * sizes[-1] > 1200
    for one in range(PARTNERS):
        for other in range(one):
            shared = len(compounds[one] & compounds[other])
            assert 0.05 < shared / sizes[one] < 0.5
    assert len(set().union(*compounds)) > 4700


def test_the_tables_have_just_a_partners_compounds(demo: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "nci_structures", structures)
    assert [ids(tables) for tables in demo] == [
        {name for name, _ in demo_compounds(partner, PARTNERS)} for partner in range(1, PARTNERS + 1)
    ]


def test_partners_have_some_endpoints_in_common_and_none_has_all(demo: list[Path]) -> None:
    held = [endpoints(tables) for tables in demo]
    everything = set().union(*held)
    for one in range(PARTNERS):
        assert held[one] < everything
        assert any(held[one] & held[other] for other in range(PARTNERS) if other != one)
        assert all(held[one] != held[other] for other in range(one))


def test_the_same_arguments_give_the_same_tables(demo: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_module, "nci_structures", structures)
    demo_tables(tmp_path / "again", 4, PARTNERS)
    for name in ("compounds.csv", "activities.csv", "note.txt"):
        assert (tmp_path / "again" / name).read_bytes() == (demo[3] / name).read_bytes()


def test_values_look_like_an_assays(demo: list[Path]) -> None:
    table = pl.concat([pl.read_csv(tables / "activities.csv", infer_schema=False) for tables in demo]).fill_null("")
    table = table.with_columns(pl.col("value").cast(pl.Float64))
    p_values, classes = table.filter(pl.col("unit") == "p"), table.filter(pl.col("unit") == "label")
    assert p_values["value"].is_between(4.5, 8.5).all()
    assert set(p_values["relation"]) == {"=", "<", ">"}
    assert set(classes["value"]) == {0.0, 1.0}
    assert set(classes["relation"]) == {"="}


def test_a_dataset_of_the_demo_has_ten_to_twenty_five_tasks_and_says_that_labels_are_computed(tmp_path: Path) -> None:
    config = load_config()
    dataset = demo_dataset(tmp_path / "dataset", PARTNERS, PARTNERS, config.chemistry, config.tasks)
    assert dataset.name == "partner-4"
    assert 10 <= len(dataset.tasks) <= 25
    assert dataset.tasks.select(pl.min_horizontal("positives", "negatives").min()).item() >= 25
    assert dataset.note == NOTE
    assert "not bioactivity" in NOTE
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_almost_every_structure_of_the_demo_is_usable() -> None:
    described = describe_all([smiles for _, smiles in nci_structures()[::20]], CHEMISTRY, KEY)
    assert sum(isinstance(each, Structure) for each in described) > 0.97 * len(described)


@pytest.mark.parametrize("partner", [0, 5])
def test_a_partner_that_is_not_there_is_an_error(tmp_path: Path, partner: int) -> None:
    with pytest.raises(DataError, match="partners 1 to 4"):
        demo_tables(tmp_path / "tables", partner, PARTNERS)
