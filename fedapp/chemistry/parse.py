"""The text in a SMILES cell -> a molecule, or the reason why it is none.

RDKit alone would take the first word of "CCO CCN" and drop the rest, and would spend a minute on a long enough chain: what a cell holds
beside a SMILES, and its size, are looked at first.
"""

import re

from rdkit import Chem

from fedapp.chemistry.rejection import (
    EXTENDED,
    FURTHER_TEXT,
    NO_ATOMS,
    QUERY,
    REACTION,
    TOO_LONG,
    TOO_MANY_ATOMS,
    TOO_MANY_RINGS,
    UNPARSEABLE,
    RejectedError,
)

# Limits before anything superlinear is done, as multiples of the largest size accepted: a drug with its salts, water, and every
# hydrogen written out stays below them.
ATOMS, CHARACTERS = 4, 50
RINGS = 100  # a fullerene has 31
SHORT = 300  # characters that cannot spell a structure which takes long to parse

# What follows a SMILES in CXSMILES, where it says only what standardisation removes: stereo groups, wedges, double bonds, coordinates.
_STEREO_ONLY = re.compile(r"\|(?:\([^()|]*\)|(?:a|[o&]\d+|w[UD]?|c|t|ctu|r):?[\d.]*|,[\d.]*)*\|")


def parse(text: str, max_heavy_atoms: int) -> Chem.Mol:
    """Parse a cell.

    Args:
        text: A SMILES, perhaps with a CXSMILES extension that says only what standardisation removes.
        max_heavy_atoms: Largest size that is accepted after salts are removed; it sets the limits on text, atoms and rings.
    Raises:
        RejectedError: With the reason.
    """
    smiles, *further = text.split(maxsplit=1) or [""]
    if ">" in smiles.replace("->", ""):  # -> and <- are dative bonds
        raise RejectedError(REACTION)
    if "~" in smiles or "[#" in smiles:
        raise RejectedError(QUERY)
    if not smiles.isascii() or "|" in smiles or "\0" in smiles:
        raise RejectedError(UNPARSEABLE)
    if len(smiles) > SHORT:
        check_size(smiles, max_heavy_atoms)
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise RejectedError(UNPARSEABLE)
    if further and not _STEREO_ONLY.fullmatch(further[0].rstrip()):
        raise RejectedError(EXTENDED if further[0].startswith("|") else FURTHER_TEXT)
    if mol.GetNumAtoms() == 0:
        raise RejectedError(NO_ATOMS)
    return mol


def check_size(smiles: str, max_heavy_atoms: int) -> None:
    """Refuse a structure whose perception alone could take long.

    Raises:
        RejectedError: With the reason.
    """
    if len(smiles) > CHARACTERS * max_heavy_atoms:
        raise RejectedError(TOO_LONG.format(CHARACTERS * max_heavy_atoms))
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        raise RejectedError(UNPARSEABLE)
    if mol.GetNumHeavyAtoms() > ATOMS * max_heavy_atoms:
        raise RejectedError(TOO_MANY_ATOMS.format(ATOMS * max_heavy_atoms))
    if mol.GetNumBonds() - mol.GetNumAtoms() + len(Chem.GetMolFrags(mol)) > RINGS:
        raise RejectedError(TOO_MANY_RINGS.format(RINGS))
