"""Which fragment of a salt, solvate or mixture is the compound that was measured.

Size alone does not tell: meglumine is larger than some of its drugs. A fragment that is on the list of salt formers beside this file is
never chosen when one that is not on it is there. Charges do not count in any comparison, so that every way to write a salt gives the
same parent.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rdkit import Chem

SALT_FORMERS = Path(__file__).with_name("salt_formers.csv")
# Ranks of the list's kinds; what is not on the list ranks above them. A "drug" forms salts and is measured itself: it is the parent of
# tetrabutylammonium salicylate, but not of a salt with something that is not on the list.
RANKS = {"counter-ion": 0, "solvent": 0, "drug": 1}
UNLISTED = 2


@dataclass(frozen=True)
class Parent:
    """The chosen fragment.

    Attributes:
        mol: The fragment, with its charges as written.
        against_size: A larger fragment was passed over because it forms salts and this one does not.
        mixture: Another compound, different and no salt former either, was in the record and was passed over.
    """

    mol: Chem.Mol
    against_size: bool = False
    mixture: bool = False


@dataclass(frozen=True, order=True)
class _Fragment:
    """Compared field by field: the largest is the parent."""

    organic: bool
    rank: int
    heavy_atoms: int
    carbons: int
    smiles: str  # neutral and canonical, so that the choice never depends on the order in which fragments are written


def choose(mol: Chem.Mol, neutral: Callable[[Chem.Mol], str]) -> Parent:
    """Choose the parent among a molecule's fragments.

    An organic fragment comes before an inorganic one, then what is not on the list before what is; then the number of heavy atoms
    decides, the number of carbons, and last the order of the SMILES.

    Args:
        mol: One or more fragments, metals disconnected, without isotopes and stereo.
        neutral: Gives the canonical SMILES of one fragment independent of its charges.
    """
    fragments = {Chem.MolToSmiles(fragment): fragment for fragment in Chem.GetMolFrags(mol, asMols=True)}  # equal ones once
    if len(fragments) == 1:
        return Parent(*fragments.values())
    described = {_describe(fragment, neutral): fragment for _, fragment in sorted(fragments.items(), reverse=True)}
    best = max(described)
    return Parent(
        described[best],
        against_size=any(fragment.organic and fragment.heavy_atoms > best.heavy_atoms for fragment in described),
        mixture=sum(fragment.organic and fragment.rank == UNLISTED for fragment in described) > 1,
    )


def _describe(mol: Chem.Mol, neutral: Callable[[Chem.Mol], str]) -> _Fragment:
    carbons = sum(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms())
    smiles = neutral(mol) if carbons else Chem.MolToSmiles(mol)
    return _Fragment(carbons > 0, salt_formers(neutral).get(smiles, UNLISTED), mol.GetNumHeavyAtoms(), carbons, smiles)


@cache
def salt_formers(neutral: Callable[[Chem.Mol], str]) -> dict[str, int]:
    """Neutral SMILES of every salt former -> its rank."""
    with SALT_FORMERS.open(encoding="utf-8", newline="") as file:
        return {neutral(Chem.MolFromSmiles(row["smiles"])): RANKS[row["kind"]] for row in csv.DictReader(file)}
