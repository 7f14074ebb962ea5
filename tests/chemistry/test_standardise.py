import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, rdBase
from rdkit.Chem.MolStandardize import rdMolStandardize

from fedapp.chemistry import standardise as module
from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import standardise
from tests.chemistry.structures import TRICKY, demo_smiles
from tests.helpers.sweeps import examples

LIMIT = 100
DEMO = demo_smiles(every=25)


def every_step(smiles: str) -> str:
    """Standardise without skipping anything."""
    with rdBase.BlockLogs():
        return Chem.MolToSmiles(module.clean(Chem.MolFromSmiles(smiles)), isomericSmiles=False)


@pytest.mark.parametrize(("written", "standard"), TRICKY.items())
def test_salts_charges_isotopes_maps_and_stereo_come_off(written: str, standard: str) -> None:
    assert standardise(written, LIMIT)[0] == standard


@pytest.mark.parametrize("smiles", TRICKY)
def test_skipping_steps_gives_what_all_steps_give_on_awkward_structures(smiles: str) -> None:
    assert standardise(smiles, LIMIT)[0] == every_step(smiles)


def test_skipping_steps_gives_what_all_steps_give_on_the_demo() -> None:
    assert {smiles: standardise(smiles, LIMIT)[0] for smiles in DEMO} == {smiles: every_step(smiles) for smiles in DEMO}


def test_most_molecules_skip_the_costly_steps() -> None:
    mols = [Chem.MolFromSmiles(smiles) for smiles in DEMO]
    cleaned = [module.needs_cleaning(s, Chem.MolToSmiles(mol, isomericSmiles=False), mol) for s, mol in zip(DEMO, mols, strict=True)]
    assert 0 < sum(cleaned) < 0.4 * len(DEMO)


@pytest.mark.parametrize("smiles", ["C[N+](=O)[O-]", "O=[N+]([O-])c1ccccc1", "CC(C[N+](=O)[O-])O[N+](=O)[O-]"])
def test_a_nitro_group_drawn_with_its_charges_is_not_costly(smiles: str) -> None:
    mol = Chem.MolFromSmiles(smiles)
    assert not module.needs_cleaning(smiles, smiles, mol)
    assert every_step(smiles) == smiles


@pytest.mark.parametrize("smiles", ["CC(C)=[N+]([O-])O", "CN=[N+]([O-])[N+](=O)[O-]", "C[N+](=O)[O-].[Na+]", "CC[N+]([O-])(C)C"])
def test_other_charges_on_nitrogen_and_oxygen_are_looked_at(smiles: str) -> None:
    assert module.needs_cleaning(smiles, smiles, Chem.MolFromSmiles(smiles))


def test_the_result_is_that_of_rdkits_own_pipeline() -> None:
    """Its charge parent does the same but for isotopes, atom maps and stereo."""
    parameters = rdMolStandardize.CleanupParameters()
    parameters.preferOrganic = True
    for smiles in [*TRICKY, *DEMO]:
        if module._LABELLED.search(smiles):
            continue
        with rdBase.BlockLogs():
            oracle = rdMolStandardize.ChargeParent(Chem.MolFromSmiles(smiles), parameters)
        assert standardise(smiles, LIMIT)[0] == Chem.MolToSmiles(oracle, isomericSmiles=False), smiles


def test_standardising_twice_changes_nothing_more() -> None:
    once = [standardise(smiles, LIMIT)[0] for smiles in [*TRICKY, *DEMO]]
    assert [standardise(smiles, LIMIT)[0] for smiles in once] == once


@given(smiles=st.sampled_from([*TRICKY, *DEMO]), seed=st.integers(1, 2**31 - 1))
@examples(150)
def test_the_spelling_of_a_molecule_does_not_matter(smiles: str, seed: int) -> None:
    spelled = Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 1, seed)[0]
    assert standardise(spelled, LIMIT)[0] == standardise(smiles, LIMIT)[0]


def test_the_molecule_returned_is_the_one_that_its_smiles_spells() -> None:
    smiles, mol = standardise("C[C@H](N)C(=O)[O-].[Na+]", LIMIT)
    assert [atom.GetSymbol() for atom in mol.GetAtoms()] == [atom.GetSymbol() for atom in Chem.MolFromSmiles(smiles).GetAtoms()]
    assert Chem.MolToSmiles(mol) == smiles


@pytest.mark.parametrize(
    ("smiles", "reason"),
    [
        ("C1CC", "SMILES cannot be parsed"),
        ("not a molecule", "SMILES cannot be parsed"),
        ("c1cccc1", "SMILES cannot be parsed"),
        ("CC(C)(C)(C)C", "SMILES cannot be parsed"),
        ("", "structure has no atoms"),
        ("[Na+].[Cl-]", "structure has no carbon"),
        ("Br", "structure has no carbon"),
        ("*CC", "structure has an undefined atom (*)"),
        ("[Fe+2].c1cc[cH-]c1.c1cc[cH-]c1", "structure cannot be standardised"),
        ("C" * 101, "structure has more than 100 heavy atoms"),
    ],
)
def test_a_structure_without_use_is_rejected_with_its_reason(smiles: str, reason: str) -> None:
    with rdBase.BlockLogs(), pytest.raises(RejectedError) as rejected:
        standardise(smiles, LIMIT)
    assert str(rejected.value) == reason


def test_the_size_limit_counts_what_is_left_after_salts() -> None:
    assert standardise("C" * 100 + "." + "C" * 50, LIMIT)[0] == "C" * 100
