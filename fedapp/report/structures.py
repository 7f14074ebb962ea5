"""Structures as inline SVG whose colours are the page's CSS variables, and pairs of them: what was trained on, what an attack named."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

from fedapp.report.audit_figures import ON
from fedapp.report.drawing import INK, SERIES, VARIABLES

WIDTH, HEIGHT = 260, 190
BOND = 24  # pixels at most, so that small structures are not blown up
LONGEST = 500  # characters of SMILES that are parsed; what is longer would be no picture anyway
SHOWN = 4
ANY, HETERO = -1, {7: SERIES[0], 8: SERIES[4], 9: SERIES[2], 15: SERIES[1], 16: SERIES[6], 17: SERIES[2], 35: SERIES[1], 53: SERIES[3]}


@dataclass(frozen=True)
class Pair:
    """A compound that was trained on beside the structure that an attack named for it.

    Attributes:
        true_smiles, found_smiles: As saved; the latter empty if the attack named no structure.
        true_svg, found_svg: Their drawings; None if there is nothing that RDKit can read.
        similarity: Tanimoto, of what the attack recovered and the true fingerprint, 0 to 1.
        exact: Whether both are the same structure.
        partner: Whose compound it was.
    """

    true_smiles: str
    found_smiles: str
    true_svg: str | None
    found_svg: str | None
    similarity: float
    exact: bool
    partner: str


@dataclass(frozen=True)
class Gallery:
    """The structures most like the truth of one attack under one setting of the defences; `total` counts those not shown too."""

    attack: str
    defences: str
    pairs: tuple[Pair, ...]
    total: int

    @property
    def key(self) -> tuple[str, str]:
        """Attack and setting, one gallery each."""
        return self.attack, self.defences


def galleries(recovered: Sequence[Mapping[str, Any]]) -> list[Gallery]:
    """One gallery per attack and setting: attacks in the order of the file, with the defences on first.

    Args:
        recovered: Rows with attack, defences, true_smiles, found_smiles, similarity and partner.
    """
    by_attack: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in recovered:
        by_attack.setdefault((str(row["attack"]), str(row["defences"])), []).append(row)
    shown = [Gallery(attack, defences, worst(rows), len(rows)) for (attack, defences), rows in by_attack.items()]
    attacks = [gallery.attack for gallery in shown]
    return sorted(shown, key=lambda gallery: (attacks.index(gallery.attack), gallery.defences != ON))


def worst(rows: Sequence[Mapping[str, Any]]) -> tuple[Pair, ...]:
    """The `SHOWN` most similar, the most similar first; equals in the order of the file."""
    return tuple(pair(row) for row in sorted(rows, key=lambda row: -float(row["similarity"]))[:SHOWN])


def pair(row: Mapping[str, Any]) -> Pair:
    """Both structures, drawn."""
    true, named = str(row["true_smiles"]), str(row["found_smiles"])
    true_mol, found_mol = read(true), read(named)
    return Pair(
        true_smiles=true,
        found_smiles=named,
        true_svg=draw(true_mol, f"Structure that was trained on: {true}") if true_mol else None,
        found_svg=draw(found_mol, f"Structure that the attack named: {named}") if found_mol else None,
        similarity=float(row["similarity"]),
        exact=bool(true_mol and found_mol and Chem.MolToSmiles(true_mol) == Chem.MolToSmiles(found_mol)),
        partner=str(row["partner"]),
    )


def read(smiles: str) -> Chem.Mol | None:
    """A molecule with at least one atom, or None. Names and extensions behind the SMILES are refused: they would be drawn as text."""
    if not smiles or len(smiles) > LONGEST or re.search(r"\s", smiles):
        return None
    with rdBase.BlockLogs():
        return Chem.MolFromSmiles(smiles)


def draw(mol: Chem.Mol, alt: str) -> str:
    """An <svg> element without ids, classes, background or text of its own."""
    drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.fixedBondLength = BOND
    options.setAtomPalette({ANY: shade(INK)} | {element: shade(colour) for element, colour in HETERO.items()})
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, mol)
    drawer.FinishDrawing()
    svg = drawer.GetDrawingText()
    body = re.sub(r"\s*class='[^']*'", "", svg[svg.index("<!-- END OF HEADER -->") + 22 :])
    for colour, variable in VARIABLES.items():
        body = body.replace(colour.upper(), f"var({variable})")
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(alt)}">{body.strip()}'


def shade(colour: str) -> tuple[float, ...]:
    """#rrggbb -> three numbers from 0 to 1."""
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
