"""One compound is one structure, however its charges, salts and atoms are written: figures in each test's assertion are floors of how many
variants were tried, so that a test that tries nothing fails."""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rdkit import Chem, rdBase

from fedapp.chemistry.parent import salt_formers
from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import neutral_smiles, settle, standardise
from tests.chemistry.structures import demo_smiles

LIMIT = 100
# spellings of one compound each
SAME = {
    "carnitine": (
        "C[N+](C)(C)CC(O)CC(=O)[O-]",
        "C[N+](C)(C)CC(O)CC(=O)O.[Cl-]",
        "C[N+](C)(C)CC(O)CC(=O)O.[O-]C(=O)C=CC(=O)O",
        "OC(=O)CC(O)C[N+](C)(C)C",
    ),
    "cefpirome": (
        "CON=C(c1csc(N)n1)C(=O)NC1C(=O)N2C(C(=O)[O-])=C(C[n+]3cccc4CCCc34)CSC12",
        "CON=C(c1csc([NH3+])n1)C(=O)NC1C(=O)N2C(C(=O)O)=C(C[n+]3cccc4CCCc34)CSC12.OS(=O)(=O)[O-].[Cl-]",
    ),
    "miltefosine": ("CCCCCCCCOP(=O)([O-])OCC[N+](C)(C)C", "CCCCCCCCOP(=O)(O)OCC[N+](C)(C)C.[Br-]"),
    "trigonelline": ("C[n+]1cccc(C(=O)[O-])c1", "C[n+]1cccc(C(=O)O)c1.[Cl-]"),
    "a sydnone": ("C[n+]1cc([O-])on1", "C[n+]1cc(O)on1.[Cl-]"),
    "a pyridone": ("Cn1ccc(=O)cc1", "C[n+]1ccc([O-])cc1", "C[n+]1ccc(O)cc1.[I-]"),
    "an N-oxide": ("Cc1cccc[n+]1[O-]", "Cc1cccc[n+]1O.[Cl-]", "Cc1ccccn1=O"),
    "an N-iminopyridinium": ("CC(=O)[N-][n+]1ccccc1", "CC(=O)N[n+]1ccccc1.[I-]"),
    "an ammonium phenol": ("C[N+](C)(C)c1cccc(O)c1", "C[N+](C)(C)c1cccc([O-])c1", "C[N+](C)(C)c1cccc(O)c1.COS(=O)(=O)[O-]"),
    "two acids, one cation": (
        "C[N+](C)(C)CCC(C(=O)O)S(=O)(=O)[O-]",
        "C[N+](C)(C)CCC(C(=O)[O-])S(=O)(=O)O",
        "C[N+](C)(C)CCC(C(=O)[O-])S(=O)(=O)[O-].[K+]",
    ),
    "a hydroxyquinoline": ("Oc1ccnc2ccccc12", "[O-]c1cc[nH+]c2ccccc12", "Oc1cc[nH+]c2ccccc12.[Cl-]", "[O-]c1ccnc2ccccc12.[Na+]"),
    "a trifluoroborate": ("NCC[B-](F)(F)F.[K+]", "[NH3+]CC[B-](F)(F)F"),
    "histidine": ("NC(Cc1cnc[nH]1)C(=O)O", "[NH3+]C(Cc1c[nH+]c[nH]1)C(=O)O.[Cl-].[Cl-]", "[NH3+]C(Cc1cnc[nH]1)C(=O)[O-].O"),
}
ACIDS = [
    Chem.MolFromSmarts(smarts) for smarts in ("[OX2H1]C=O", "[OX2H1]S=O", "[OX2H1]P=O", "[OX2H1]c", "[nH1]1nnnc1", "[NX3H1](S(=O)=O)C=O")
]
BASES = [Chem.MolFromSmarts(smarts) for smarts in ("[NX3;$(N([C;X4])([C,H])[C,H]);!$(N-C=[O,S,N])]", "[nX2;r6;$(n(c)c)]")]


@pytest.mark.parametrize("name", SAME)
def test_one_compound_is_one_structure_however_it_is_written(name: str) -> None:
    assert len({standardise(smiles, LIMIT)[0] for smiles in SAME[name]}) == 1


def test_a_cation_is_balanced_by_the_strongest_acid() -> None:
    assert standardise("C[N+](C)(C)CCC(C(=O)O)S(=O)(=O)O", LIMIT)[0] == "C[N+](C)(C)CCC(C(=O)O)S(=O)(=O)[O-]"


def test_a_cation_without_an_acid_stays_one() -> None:
    assert standardise("Oc1ccccc1C[N+](C)(C)C.[Br-]", LIMIT)[0] == "C[N+](C)(C)Cc1ccccc1O"


# resonance forms between which RDKit's normalisation goes to and fro
YLIDES = (
    "C[n+]1ccc(cc1)[C-](C=C(C#N)C#N)C(=O)C",
    "Clc1cc[n+](cc1)[C-](C=C(C#N)C(=O)OC)C#N",
    "CC(=O)[CH-][n+]1ccccc1",
    "COC(=O)[CH-][P+](C)(C)C",
)


@pytest.mark.parametrize("smiles", YLIDES)
def test_an_ylide_gets_one_form_that_stays(smiles: str) -> None:
    once = standardise(smiles, LIMIT)[0]
    assert standardise(once, LIMIT)[0] == once
    assert all(standardise(spelling, LIMIT)[0] == once for spelling in Chem.MolToRandomSmilesVect(Chem.MolFromSmiles(smiles), 20, 7))


@given(step=st.lists(st.integers(0, 7), min_size=8, max_size=8), start=st.integers(0, 7))
def test_wherever_a_circle_of_forms_is_entered_its_first_member_is_taken(step: list[int], start: int) -> None:
    """Any map of eight forms onto each other, instead of cleaning: what it gives must be a fixed point of the whole."""
    forms = [f"C{'C' * number}[N+](=O)[O-]" for number in range(8)]

    def cleaned(plain: str) -> str:
        return forms[step[forms.index(plain)]]

    once = settle(forms[start], cleaned)
    assert settle(once, cleaned) == once
    assert once in forms


def charged(mol: Chem.Mol, atoms: list[int], charge: int) -> str:
    """The molecule with a proton more or fewer at each of the atoms."""
    changed = Chem.RWMol(mol)
    for index in atoms:
        atom = changed.GetAtomWithIdx(index)
        hydrogens = atom.GetTotalNumHs() + charge
        atom.SetFormalCharge(charge)
        atom.SetNoImplicit(True)
        atom.SetNumExplicitHs(hydrogens)
    Chem.SanitizeMol(changed)
    return Chem.MolToSmiles(changed)


def variants(standard: str, seed: int) -> list[str]:
    """Other ways to write a standardised compound: renumbered, deprotonated, protonated, as inner salt and with counter-ions."""
    mol = Chem.MolFromSmiles(standard)
    written = [*Chem.MolToRandomSmilesVect(mol, 2, seed), f"{standard}.Cl", f"O.{standard}.O", Chem.MolToSmiles(Chem.AddHs(mol))]
    free = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetFormalCharge() == 0]
    acids = sorted({match[0] for acid in ACIDS for match in mol.GetSubstructMatches(acid)} & set(free))
    bases = sorted({match[0] for base in BASES for match in mol.GetSubstructMatches(base)} & set(free))
    if acids:
        written += [charged(mol, acids, -1) + ".[K+]" * len(acids), charged(mol, acids[:1], -1), charged(mol, acids[-1:], -1)]
        written += [charged(mol, acids[:1], -1) + salt for salt in (".C[NH2+]CC(O)C(O)C(O)C(O)CO", ".CCCC[N+](CCCC)(CCCC)CCCC")]
    if bases:
        written += [charged(mol, bases[:1], 1), charged(mol, bases[-1:], 1) + ".O=C([O-])c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O"]
    if acids and bases:
        written.append(charged(Chem.MolFromSmiles(charged(mol, bases[:1], 1)), [], 0) + "." + charged(mol, acids[:1], -1))
    return written


def violations(smiles: list[str]) -> tuple[int, int, list[tuple[str, str, str]]]:
    """Structures tried, variants tried, and those whose result differs."""
    wrong, structures, tried = [], 0, 0
    listed = salt_formers(neutral_smiles)
    with rdBase.BlockLogs():
        for number, spelling in enumerate(smiles):
            try:
                standard = standardise(spelling, LIMIT)[0]
            except RejectedError:
                continue
            if standard in listed:  # as a salt of two salt formers it has no parent that everybody would choose
                continue
            structures += 1
            for variant in [standard, *variants(standard, number + 1)]:
                tried += 1
                result = standardise(variant, LIMIT)[0]
                if result != standard:
                    wrong.append((standard, variant, result))
    return structures, tried, wrong


def test_charges_counter_ions_and_spelling_do_not_matter_on_the_demo() -> None:
    structures, tried, wrong = violations(demo_smiles(every=50))
    assert structures > 80
    assert tried > 500
    assert wrong == []


@pytest.mark.parametrize(
    ("table", "column"),
    [("melloddy_public_adme/T2.csv.gz", "smiles"), ("tox21/compounds.csv.gz", "smiles"), ("fsmol_dev/compounds.csv.gz", "smiles")],
)
def test_charges_counter_ions_and_spelling_do_not_matter_on_real_compounds(table: str, column: str, real_data: Path) -> None:
    smiles = pl.read_csv(real_data / table, columns=[column])[column].to_list()
    salts = [compound for compound in smiles if "." in compound]
    chosen = random.Random(13).sample(smiles, 30) + random.Random(13).sample(salts, min(30, len(salts)))
    structures, tried, wrong = violations(chosen)
    assert structures > 25
    assert tried > 150
    assert wrong == []
