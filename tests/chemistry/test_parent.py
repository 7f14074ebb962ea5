import csv
from itertools import permutations
from pathlib import Path

import pytest
from rdkit import Chem, RDConfig

from fedapp.chemistry.parent import RANKS, SALT_FORMERS, salt_formers
from fedapp.chemistry.standardise import neutral_smiles, standard_form

LIMIT = 100
MEGLUMINE, PAMOIC_ACID = "CNCC(O)C(O)C(O)C(O)CO", "O=C(O)c1cc2ccccc2c(Cc2c(O)c(C(=O)O)cc3ccccc23)c1O"
LACTOBIONIC_ACID = "OCC(O)C(OC1OC(CO)C(O)C(O)C1O)C(O)C(O)C(=O)O"

# a salt as it is sold -> its drug, and whether the drug is the smaller part
SALTS = {
    "diflunisal meglumine": (f"{MEGLUMINE}.OC(=O)c1cc(ccc1O)-c1ccc(F)cc1F", "O=C(O)c1cc(-c2ccc(F)cc2F)ccc1O", False),
    "fosfomycin trometamol": ("CC1OC1P(=O)([O-])O.[NH3+]C(CO)(CO)CO", "CC1OC1P(=O)(O)O", False),
    "methenamine hippurate": ("C1N2CN3CN1CN(C2)C3.O=C(O)CNC(=O)c1ccccc1", "C1N2CN3CN1CN(C2)C3", True),
    "methenamine mandelate": ("C1N2CN3CN1CN(C2)C3.OC(C(=O)O)c1ccccc1", "C1N2CN3CN1CN(C2)C3", True),
    "amfetamine saccharate": ("CC(N)Cc1ccccc1.OC(=O)C(O)C(O)C(O)C(O)C(=O)O", "CC(N)Cc1ccccc1", True),
    "phenformin pamoate": (f"N=C(N)NC(=N)NCCc1ccccc1.{PAMOIC_ACID}", "N=C(N)NC(=N)NCCc1ccccc1", True),
    "isoprenaline lactobionate": (f"CC(C)NCC(O)c1ccc(O)c(O)c1.{LACTOBIONIC_ACID}", "CC(C)NCC(O)c1ccc(O)c(O)c1", True),
    "tetrabutylammonium nicotinate": ("CCCC[N+](CCCC)(CCCC)CCCC.[O-]C(=O)c1cccnc1", "O=C(O)c1cccnc1", True),
    "choline salicylate": ("C[N+](C)(C)CCO.[O-]C(=O)c1ccccc1O", "O=C(O)c1ccccc1O", False),
    "tipepidine hibenzate": ("CN1CCCC(=C(c2cccs2)c2cccs2)C1.O=C(O)c1ccccc1C(=O)c1ccc(O)cc1", "CN1CCCC(=C(c2cccs2)c2cccs2)C1", False),
    "benzylpenicillin hydrabamine": (
        "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O.CC(C)c1ccc2c(c1)CCC1C(C)(CNCCNCC3(C)CCCC4(C)c5ccc(cc5CCC34)C(C)C)CCCC21C",
        "CC1(C)SC2C(NC(=O)Cc3ccccc3)C(=O)N2C1C(=O)O",
        True,
    ),
    "lysine acetylsalicylate": ("CC(=O)Oc1ccccc1C(=O)[O-].[NH3+]CCCCC(N)C(=O)O", "CC(=O)Oc1ccccc1C(=O)O", False),
    "tranylcypromine in tert-butyl methyl ether and chloroform": ("NC1CC1c1ccccc1.COC(C)(C)C.ClC(Cl)Cl", "NC1CC1c1ccccc1", False),
    "benzathine phenoxymethylpenicillin, hydrated": (
        "CC1(C)SC2C(NC(=O)COc3ccccc3)C(=O)N2C1C(=O)O.C(CNCc1ccccc1)NCc1ccccc1.O.O",
        "CC1(C)SC2C(NC(=O)COc3ccccc3)C(=O)N2C1C(=O)O",
        False,
    ),
}


@pytest.mark.parametrize("name", SALTS)
def test_the_parent_of_a_salt_is_its_drug_in_whatever_order_it_is_written(name: str) -> None:
    written, drug, against_size = SALTS[name]
    for parts in list(permutations(written.split(".")))[:6]:
        form = standard_form(".".join(parts), LIMIT)
        assert form.smiles == standard_form(drug, LIMIT).smiles
        assert (form.against_size, form.mixture) == (against_size, False)


def test_the_salts_of_different_drugs_with_one_salt_former_are_different_compounds() -> None:
    drugs = [standard_form(written, LIMIT).smiles for written, _, _ in SALTS.values()]
    pamoates = [standard_form(f"{drug}.{PAMOIC_ACID}.{MEGLUMINE}", LIMIT).smiles for drug in drugs]
    listed = salt_formers(neutral_smiles)
    assert [form for form in pamoates if form not in listed] == [form for form in drugs if form not in listed]


def test_everything_on_the_list_alone_or_with_inorganic_ions_stays_itself() -> None:
    with SALT_FORMERS.open(newline="") as file:
        for row in csv.DictReader(file):
            alone = standard_form(row["smiles"], LIMIT)
            salt = standard_form(f"{row['smiles']}.[Na+].[Cl-].O", LIMIT)
            assert alone.smiles == salt.smiles == neutral_smiles(Chem.MolFromSmiles(row["smiles"])), row["name"]
            assert not salt.against_size


def test_the_list_names_each_compound_once() -> None:
    with SALT_FORMERS.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == set(RANKS)
    assert len(salt_formers(neutral_smiles)) == len({row["name"] for row in rows}) == len(rows)


def test_the_list_holds_every_organic_salt_that_rdkit_lists() -> None:
    lines = (Path(RDConfig.RDDataDir) / "Salts.txt").read_text().splitlines()
    patterns = [Chem.MolFromSmarts(line.split("\t")[0].split()[0]) for line in lines if line.strip() and not line.startswith("//")]
    organic = [pattern for pattern in patterns if any(atom.GetAtomicNum() == 6 for atom in pattern.GetAtoms())]
    listed = [Chem.MolFromSmiles(smiles) for smiles in salt_formers(neutral_smiles)]
    assert len(organic) > 5
    for pattern in organic:
        assert any(mol.GetNumAtoms() == pattern.GetNumAtoms() and mol.HasSubstructMatch(pattern) for mol in listed), Chem.MolToSmarts(
            pattern
        )


@pytest.mark.parametrize(
    "combination",
    [
        ("CC(C)Cc1ccc(cc1)C(C)C(=O)O", "CNC(C)C(O)c1ccccc1"),  # ibuprofen and pseudoephedrine
        ("CC(=O)Nc1ccc(O)cc1", "CN1CCC23C4C1Cc1ccc(OC)c(c1C2OC)C3C=CC4O"),  # paracetamol and a codeine ether
    ],
)
def test_two_drugs_in_one_record_are_counted_as_a_mixture_and_the_larger_is_taken(combination: tuple[str, str]) -> None:
    forms = [standard_form(".".join(parts), LIMIT) for parts in (combination, combination[::-1], (*combination, "Cl", MEGLUMINE))]
    larger = max(combination, key=lambda smiles: Chem.MolFromSmiles(smiles).GetNumHeavyAtoms())
    assert {form.smiles for form in forms} == {standard_form(larger, LIMIT).smiles}
    assert all(form.mixture for form in forms)


def test_a_drug_written_twice_beside_its_counter_ion_is_no_mixture() -> None:
    form = standard_form("CC(N)Cc1ccccc1.CC(N)Cc1ccccc1.OS(=O)(=O)O", LIMIT)
    assert not form.mixture
