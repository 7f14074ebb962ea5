"""A SMILES as partners write it -> the one form that every partner writes."""

import re

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

UNPARSEABLE = "SMILES cannot be parsed"
NO_ATOMS = "structure has no atoms"
NO_CARBON = "structure has no carbon"
UNDEFINED_ATOM = "structure has an undefined atom (*)"
FAILED = "structure cannot be standardised"

# Molecules on which metal disconnection, normalisation, reionisation and uncharging cannot act: one fragment of uncharged non-metals ...
_PLAIN = re.compile(r"[^\[.*]*(?:\[(?:B|b|C|c|N|n|O|o|P|p|S|s|Se|se|Si|F|Cl|Br|I)(?:H\d*)?\][^\[.*]*)*")
# ... without one of the few neutral groups that RDKit's normalisation rules rewrite (nitro, N-oxide, azide, diazo, sulfoxide) ...
_REWRITTEN = Chem.MolFromSmarts("[$([#16X3]=O),$([N,P,As,Sb;X3](=[O,S,Se,Te])=[O,S,Se,Te]),$([n]=O),$(*N=N#N),$(*=N#N)]")
# ... and, as written, without isotopes and atom maps, whose removal may leave explicit hydrogens behind.
_LABELLED = re.compile(r"\[\d|:\d+\]")

_METALS = rdMolStandardize.MetalDisconnector()
_NORMALISER = rdMolStandardize.Normalizer()
_REIONISER = rdMolStandardize.Reionizer()
_LARGEST = rdMolStandardize.LargestFragmentChooser(preferOrganic=True)
_UNCHARGER = rdMolStandardize.Uncharger()


class RejectedError(ValueError):
    """A structure that cannot be used; the text is the reason, from a small set so that reasons can be counted."""


def standardise(smiles: str, max_heavy_atoms: int) -> tuple[str, Chem.Mol]:
    """Standardise one structure: metals off, normalised, reionised, largest organic fragment, uncharged, no isotopes, no stereo.

    Steps that cannot change a molecule are skipped; the result is that of running all of them. RDKit's log is the caller's to silence.

    Args:
        smiles: Any SMILES.
        max_heavy_atoms: Largest size that is accepted, counted after salts are removed.
    Returns:
        Canonical SMILES and the molecule parsed from exactly that SMILES, so that all that is computed from the molecule
        depends on the standardised SMILES alone, however the partner wrote it.
    Raises:
        RejectedError: With the reason.
    """
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        raise RejectedError(UNPARSEABLE)
    if mol.GetNumAtoms() == 0:
        raise RejectedError(NO_ATOMS)
    plain = Chem.MolToSmiles(mol, isomericSmiles=False)
    if needs_cleaning(smiles, plain, mol):
        try:
            mol = clean(mol)
        except (ValueError, RuntimeError) as error:  # RDKit: a step left an impossible valence, or an internal check failed
            raise RejectedError(FAILED) from error
        plain = Chem.MolToSmiles(mol, isomericSmiles=False)
    if plain != smiles:
        mol = Chem.MolFromSmiles(plain)
        if mol is None:
            raise RejectedError(FAILED)
    check(plain, mol, max_heavy_atoms)
    return plain, mol


def needs_cleaning(smiles: str, plain: str, mol: Chem.Mol) -> bool:
    """Whether `clean` could change this molecule; `plain` is its canonical SMILES without stereo."""
    return not _PLAIN.fullmatch(plain) or bool(_LABELLED.search(smiles)) or mol.HasSubstructMatch(_REWRITTEN)


def clean(mol: Chem.Mol) -> Chem.Mol:
    """Every step of standardisation, in order.

    Raises:
        ValueError, RuntimeError: From RDKit.
    """
    mol = Chem.Mol(mol)
    Chem.RemoveStereochemistry(mol)
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    mol = Chem.RemoveHs(mol)  # deuterium has just become ordinary hydrogen
    mol = _METALS.Disconnect(mol)
    mol = _NORMALISER.normalize(mol)
    mol = _REIONISER.reionize(mol)
    mol = _LARGEST.choose(mol)
    return _UNCHARGER.uncharge(mol)


def check(plain: str, mol: Chem.Mol, max_heavy_atoms: int) -> None:
    """Refuse standardised structures that a fingerprint says nothing useful about.

    Raises:
        RejectedError: With the reason.
    """
    if "*" in plain:
        raise RejectedError(UNDEFINED_ATOM)
    if mol.GetNumHeavyAtoms() > max_heavy_atoms:
        raise RejectedError(f"structure has more than {max_heavy_atoms} heavy atoms")
    if not any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms()):
        raise RejectedError(NO_CARBON)
