from pathlib import Path

import pytest

from fedapp.data.columns import OF_ASSAYS, Chosen, choose, refuse_contents
from fedapp.errors import DataError

FILE = Path("activities.csv")
WANTED = ["assay_id", "compound_id", "value"]
FURTHER = ["relation", "unit", "type", "target_id"]
OURS = ["assay_id", "compound_id", "value", "relation", "unit"]
CHEMBL_DOWNLOAD = [
    *["Molecule ChEMBL ID", "Molecule Name", "Smiles", "Standard Type", "Standard Relation", "Standard Value", "Standard Units"],
    *["pChEMBL Value", "Comment", "Uo Units", "Assay ChEMBL ID", "Assay Type", "Target ChEMBL ID", "Target Name"],
]
CHEMBL_API = [
    *["activity_id", "assay_chembl_id", "assay_description", "canonical_smiles", "molecule_chembl_id", "pchembl_value", "relation"],
    *["standard_relation", "standard_type", "standard_units", "standard_value", "target_chembl_id", "type", "units", "uo_units", "value"],
]


def taken(header: list[str], required: list[str] = WANTED, optional: list[str] = FURTHER) -> dict[str, str]:
    return choose(FILE, header, required, optional).taken


def one_table(*header: str) -> Chosen:
    return choose(FILE, header, ["smiles", "value"], ["compound_id", "assay_id", *FURTHER])


def test_our_own_names_are_taken_as_they_are() -> None:
    assert taken(["p_relation", "p_value", *OURS, "label"]) == {name: name for name in OURS}


@pytest.mark.parametrize("name", ["Relation", "standard_relation", "Standard Relation", "standard_qualifier", "Qualifier", "RELATION"])
def test_a_relation_is_read_whatever_case_and_source_its_column_is_from(name: str) -> None:
    assert taken(["assay_id", "compound_id", "value", name, "unit"])["relation"] == name


@pytest.mark.parametrize("name", ["units", "Unit", "Standard Units", "standard_unit"])
def test_so_is_a_unit(name: str) -> None:
    assert taken(["assay_id", "compound_id", "value", "relation", name])["unit"] == name


def test_a_download_of_chembl_has_everything_in_one_table() -> None:
    assert one_table(*CHEMBL_DOWNLOAD).taken == {
        "smiles": "Smiles",
        "value": "Standard Value",
        "compound_id": "Molecule ChEMBL ID",
        "assay_id": "Assay ChEMBL ID",
        "relation": "Standard Relation",
        "unit": "Standard Units",
        "type": "Standard Type",
        "target_id": "Target ChEMBL ID",
    }


def test_of_chembls_own_two_sets_the_standard_one_is_taken_and_never_a_mixture() -> None:
    found = one_table(*CHEMBL_API).taken
    assert [found[role] for role in ("value", "relation", "unit")] == ["standard_value", "standard_relation", "standard_units"]
    with pytest.raises(DataError, match="the value may be in standard_value or value"):
        one_table(*[name for name in CHEMBL_API if name != "standard_units"])


@pytest.mark.parametrize(
    ("more", "role"), [("standard_relation", "relation"), ("Qualifier", "relation"), ("units", "unit"), ("Standard Value", "value")]
)
def test_two_columns_for_one_thing_are_an_error_that_names_both(more: str, role: str) -> None:
    with pytest.raises(DataError, match=f"the {role} may be in {role} or {more}"):
        taken([*OURS, more])


def test_two_names_of_a_structure_are_no_contradiction_and_ours_is_taken() -> None:
    assert taken(["canonical_smiles", "smiles", "compound_id"], ["compound_id", "smiles"], [])["smiles"] == "smiles"


@pytest.mark.parametrize(
    "name",
    [
        "value_relation",
        "relatoin",
        "relations",
        "Qualifiers",
        "activity operator",
        "ValueRelation",
        "Censored",
        "rel. qualifier",
        "Rel",
        "IC50 op",
    ],
)
def test_a_column_that_looks_like_a_relation_is_an_error_that_says_what_to_call_it(name: str) -> None:
    with pytest.raises(DataError, match="no column relation, but one called") as error:
        taken(["assay_id", "compound_id", "value", name, "unit"])
    assert "call it relation" in error.value.hint
    assert "standard_relation" in error.value.hint


@pytest.mark.parametrize("name", ["value_unit", "Units of measure", "UOM", "unitt"])
def test_a_column_that_looks_like_a_unit_is_an_error(name: str) -> None:
    with pytest.raises(DataError, match="no column unit, but one called"):
        taken(["assay_id", "compound_id", "value", "relation", name])


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *[("wieght", "weight"), ("Weights", "weight"), ("label_weight", "weight"), ("weigth", "weight")],
        *[("auxilliary", "auxiliary"), ("IsAux", "auxiliary"), ("auxiliary_assay", "auxiliary"), ("auxilary", "auxiliary")],
        *[("tresholds", "thresholds"), ("expert_threshold_1", "thresholds"), ("treshold", "thresholds"), ("cutoff", "thresholds")],
    ],
)
def test_a_column_of_assays_that_looks_like_a_setting_is_an_error_that_says_what_to_call_it(name: str, role: str) -> None:
    with pytest.raises(DataError, match=f"no column {role}, but one called {name}") as error:
        taken(["assay_id", name], ["assay_id"], list(OF_ASSAYS))
    assert error.value.hint.startswith(f"call it {role} to have it read")


@pytest.mark.parametrize(("one", "other"), [("thresholds", "threshold"), ("auxiliary", "is_auxiliary")])
def test_two_columns_for_one_setting_are_an_error_that_names_both(one: str, other: str) -> None:
    with pytest.raises(DataError, match=f"the {one} may be in {one} or {other}"):
        taken(["assay_id", one, other], ["assay_id"], list(OF_ASSAYS))


@pytest.mark.parametrize("name", ["assay_type", "assay_organism", "protein_family", "height", "pref_name", "n_uncensored", "confidence"])
def test_what_else_is_known_of_assays_is_no_setting(name: str) -> None:
    assert taken(["assay_id", name], ["assay_id"], list(OF_ASSAYS)) == {"assay_id": "assay_id"}


@pytest.mark.parametrize(
    "name", ["correlation", "n_uncensored", "comment", "community", "Assay Type", "unique", "cliff_mol", "real", "value_nM"]
)
def test_other_columns_are_just_not_read(name: str) -> None:
    assert name not in taken(["assay_id", "compound_id", "value", name]).values()


@pytest.mark.parametrize("name", ["assay", "Assay name", "endpoint"])
def test_one_table_whose_assays_may_be_in_another_column_is_not_taken_as_one_assay(name: str) -> None:
    with pytest.raises(DataError, match=f"no column assay_id, but one called {name}"):
        one_table("smiles", "value", name)


@pytest.mark.parametrize("cells", [["=", "<", "="], ["'='", "'>'"], [">=", "", "~"]])
def test_a_column_of_relations_under_any_name_is_an_error(cells: list[str]) -> None:
    with pytest.raises(DataError, match="no column relation, but mod holds such"):
        refuse_contents(FILE, {"mod": cells, "note": ["=", "text"]}, ["relation", "unit"])


def test_a_few_odd_cells_do_not_hide_a_column_of_relations() -> None:
    with pytest.raises(DataError, match="mod holds such"):
        refuse_contents(FILE, {"mod": ["<", "=", "?", ">"]}, ["relation"])
    refuse_contents(FILE, {"note": ["=", "as published", "see text"]}, ["relation"])


def test_so_is_a_column_of_units() -> None:
    with pytest.raises(DataError, match=r"no column unit, but Einheit holds such \(nM\)"):
        refuse_contents(FILE, {"Einheit": ["nM", "uM", "nM"]}, ["unit"])


@pytest.mark.parametrize(
    ("role", "cells"),
    [
        ("relation", ["gt", "eq", "lt"]),
        ("relation", ["LT"]),
        ("relation", ["Less than", "equal"]),
        ("relation", ["&gt;", "="]),
        ("unit", ["nmol/L", "umol/l"]),
        ("unit", ["Nanomolar"]),
        ("unit", ["\u00b5mol/L", "nM"]),
    ],
)
def test_so_is_one_in_words_or_spellings_that_are_not_read(role: str, cells: list[str]) -> None:
    with pytest.raises(DataError, match=f"no column {role}, but mod holds such"):
        refuse_contents(FILE, {"mod": cells}, [role])


@pytest.mark.parametrize("cells", [["le", "la", "les"], ["molar tooth", "incisor"], ["greater London"]])
def test_words_that_hold_such_a_word_or_stand_beside_others_are_just_not_read(cells: list[str]) -> None:
    refuse_contents(FILE, {"mod": cells}, ["relation", "unit"])


def test_columns_of_what_is_there_already_or_of_nothing_are_not_looked_at() -> None:
    refuse_contents(FILE, {"p_relation": ["=", "<"], "empty": ["", " "], "sex": ["M", "F"]}, ["unit"])


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *[("pIC50", "p"), ("pKi", "p"), ("pChEMBL Value", "p"), ("pchembl_value", "p"), ("IC50 (nM)", "nM"), ("IC50_uM", "uM")],
        *[("Ki [nM]", "nM"), ("EC50 (\u00b5M)", "\u00b5M"), ("value_nM", "nM"), ("label", ""), ("Active", ""), ("anything", "")],
    ],
)
def test_a_table_of_two_columns_tells_the_unit_in_the_name_of_its_values(name: str, unit: str) -> None:
    assert one_table("smiles", name) == Chosen({"smiles": "smiles", "value": name}, unit)


def test_values_that_may_be_in_several_columns_are_an_error() -> None:
    with pytest.raises(DataError, match="the values may be in pIC50 or label"):
        one_table("smiles", "pIC50", "label")


def test_of_three_columns_none_is_guessed_to_be_the_value() -> None:
    with pytest.raises(DataError, match="has no column value") as error:
        one_table("smiles", "name", "result")
    assert "pIC50" in error.value.hint


def test_a_unit_in_the_name_and_a_column_of_units_contradict_each_other() -> None:
    with pytest.raises(DataError, match="the column pIC50 names a unit, and there is a column unit"):
        one_table("smiles", "pIC50", "unit")


def test_a_column_that_is_there_twice_is_an_error() -> None:
    with pytest.raises(DataError, match="column smiles more than once"):
        one_table("smiles", "value", "smiles")
