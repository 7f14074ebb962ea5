"""Structures that an attack recovered, on the audit's page."""

import re
from xml.etree import ElementTree

import pytest
from rdkit import Chem

from fedapp.report import structures
from tests.report.audit_facts import ASPIRIN, CAFFEINE, HOSTILE, PARACETAMOL, Save, document, facts, full, recovered, rows

# Structures


@pytest.mark.usefixtures("undrawn")
def test_what_was_recovered_without_defences_is_shown_and_that_nothing_was_with_them(save: Save) -> None:
    page = save(full())
    assert "With the defences on, twin rows recovered no structure. Below is what the same attack recovers without them." in page.text
    assert "Similarity 1.00 , the same structure · Birch" in page.text
    assert "Similarity 0.21 · Birch" in page.text
    drawn = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg" and attributes.get("role")]
    assert drawn == [
        f"Structure that was trained on: {ASPIRIN}",
        f"Structure that the attack named: {ASPIRIN}",
        f"Structure that was trained on: {PARACETAMOL}",
        f"Structure that the attack named: {CAFFEINE}",
    ]


@pytest.mark.usefixtures("undrawn")
def test_what_was_recovered_with_defences_is_shown_first_and_not_denied(save: Save) -> None:
    text = save(facts(rows(), recovered=[recovered("off"), recovered("on", similarity=0.4)])).text
    assert "recovered no structure" not in text
    assert text.index("Twin rows, defences on: 1 structure") < text.index("Twin rows, defences off: 1 structure")


@pytest.mark.usefixtures("undrawn")
def test_an_audit_that_recovered_nothing_says_so(save: Save) -> None:
    assert "No attack recovered a structure, neither with the defences nor without them." in save(facts(rows())).text


@pytest.mark.usefixtures("undrawn")
def test_only_the_structures_most_like_the_truth_are_shown_and_how_many_there_were(save: Save) -> None:
    page = save(facts(rows(), recovered=[recovered("off", similarity=share / 10) for share in range(9)]))
    assert "the 4 most similar of 9" in page.text
    assert re.findall(r"Similarity (\d\.\d\d)", page.text) == ["0.80", "0.70", "0.60", "0.50"]


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("smiles", ["C1CC", HOSTILE, "C<b>bold</b>", "x" * 5000, "C" * 5000, f"CC |${HOSTILE}$|", "C C"])
def test_a_smiles_that_cannot_be_drawn_is_shown_as_text(save: Save, smiles: str) -> None:
    page = save(facts(rows(), recovered=[recovered("off", ASPIRIN, smiles, 0.1)]))
    assert " ".join(smiles[:150].split()) in page.text
    assert len([tag for tag, attributes in page.elements if tag == "svg" and attributes.get("role")]) == 1
    assert "<script" not in page.source
    assert "<b>" not in page.source


@pytest.mark.usefixtures("undrawn")
def test_an_attack_that_named_no_structure_has_none_beside_the_true_one(save: Save) -> None:
    assert "Named by the attack no structure named" in save(facts(rows(), recovered=[recovered("off", ASPIRIN, "", 0.1)])).text


@pytest.mark.parametrize("smiles", [ASPIRIN, CAFFEINE, "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "[*:1]CC#N", "FC(Cl)(Br)I", "C"])
def test_a_structure_is_a_valid_drawing_in_the_colours_of_the_page(smiles: str) -> None:
    mol = structures.read(smiles)
    assert mol is not None
    drawn = structures.draw(mol, 'a" onload="b')
    shapes = list(ElementTree.fromstring(document(drawn)))
    assert shapes
    assert len({shape.tag.split("}")[1] for shape in shapes} - {"path", "ellipse"}) == 0
    assert 'aria-label="a&quot; onload=&quot;b"' in drawn
    assert not re.search(r"#[0-9A-Fa-f]{6}|\bid=|class=", drawn)


def test_structures_are_the_same_whatever_way_their_smiles_are_written() -> None:
    other = Chem.MolToSmiles(Chem.MolFromSmiles(ASPIRIN), doRandom=True)
    assert structures.pair(recovered("off", ASPIRIN, other)).exact
    assert not structures.pair(recovered("off", ASPIRIN, PARACETAMOL)).exact
