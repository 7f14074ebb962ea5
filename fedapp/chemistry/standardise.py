"""A SMILES as partners write it -> the one form that every partner writes."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from fedapp.chemistry.charges import settle_charges
from fedapp.chemistry.parent import Parent, choose
from fedapp.chemistry.parse import parse
from fedapp.chemistry.rejection import FAILED, NO_CARBON, TOO_LARGE, TOO_MANY_GROUPS, UNDEFINED_ATOM, RejectedError

# Molecules on which metal disconnection, normalisation and uncharging cannot act: one fragment of uncharged non-metals ...
_PLAIN = re.compile(r"[^\[.*]*(?:\[(?:B|b|C|c|N|n|O|o|P|p|S|s|Se|se|Si|F|Cl|Br|I)(?:H\d*)?\][^\[.*]*)*")
# ... in which a nitro group with its charges drawn counts as a nitrogen: its charges lie on neighbours that no other charge can reach ...
_NITRO = re.compile(r"\[N\+\](?:\(=O\)\[O-\]|\(\[O-\]\)=O)|(?:^|(?<=\())(?:O=\[N\+\]\(\[O-\]\)|\[O-\]\[N\+\]\(=O\))")
# ... without one of the few neutral groups that RDKit's normalisation rules rewrite (nitro, N-oxide, azide, diazo, sulfoxide) ...
_REWRITTEN = Chem.MolFromSmarts("[$([#16X3]=O),$([N,P,As,Sb;X3](=[O,S,Se,Te])=[O,S,Se,Te]),$([n]=O),$(*N=N#N),$(*=N#N)]")
# ... and, as written, without isotopes and atom maps, whose removal may leave explicit hydrogens behind.
_LABELLED = re.compile(r"\[\d|:\d+\]")

GROUPS = 20  # normalising a chain of sulfoxides takes the fourth power of their number
ROUNDS = 10  # of cleaning, before a structure that never settles is refused; real ones take 1 or 2
LARGEST_SALT_FORMER = 100  # heavy atoms: gamma-cyclodextrin has 88

_METALS = rdMolStandardize.MetalDisconnector()
_NORMALISER = rdMolStandardize.Normalizer()


@dataclass(frozen=True)
class StandardForm:
    """What one record stands for.

    Attributes:
        smiles: Canonical, without stereo, isotopes and salts.
        mol: Parsed from exactly `smiles`, so that all that is computed from it depends on `smiles` alone, however a partner wrote it.
        against_size: As in `Parent`.
        mixture: As in `Parent`.
    """

    smiles: str
    mol: Chem.Mol
    against_size: bool
    mixture: bool


def standardise(smiles: str, max_heavy_atoms: int) -> tuple[str, Chem.Mol]:
    """Canonical SMILES and molecule of `standard_form`, with its arguments and errors."""
    form = standard_form(smiles, max_heavy_atoms)
    return form.smiles, form.mol


def standard_form(smiles: str, max_heavy_atoms: int) -> StandardForm:
    """Standardise one structure: no stereo, no isotopes, metals off, the parent chosen, normalised, charges settled.

    Steps that cannot change a molecule are skipped; the result is that of running all of them. RDKit's log is the caller's to silence.

    Args:
        smiles: Text as in `parse`.
        max_heavy_atoms: Largest size that is accepted, counted after salts are removed.
    Raises:
        RejectedError: With the reason.
    """
    mol = parse(smiles, max_heavy_atoms)
    plain = Chem.MolToSmiles(mol, isomericSmiles=False)
    against_size = mixture = False
    if needs_cleaning(smiles, plain, mol):
        try:
            parent = find_parent(mol)
            check_effort(parent.mol, max_heavy_atoms)
            plain = settle(Chem.MolToSmiles(normalise(parent.mol), isomericSmiles=False))
        except (ValueError, RuntimeError) as error:  # RDKit: a step left an impossible valence, or an internal check failed
            raise error if isinstance(error, RejectedError) else RejectedError(FAILED) from error
        against_size, mixture = parent.against_size, parent.mixture
    if plain != smiles:
        mol = Chem.MolFromSmiles(plain)
        if mol is None:
            raise RejectedError(FAILED)
    check(plain, mol, max_heavy_atoms)
    return StandardForm(plain, mol, against_size, mixture)


def needs_cleaning(smiles: str, plain: str, mol: Chem.Mol) -> bool:
    """Whether `clean` could change this molecule; `plain` is its canonical SMILES without stereo."""
    return not _PLAIN.fullmatch(_NITRO.sub("N", plain)) or bool(_LABELLED.search(smiles)) or mol.HasSubstructMatch(_REWRITTEN)


def clean(mol: Chem.Mol) -> Chem.Mol:
    """Every step of standardisation, in order.

    Raises:
        ValueError, RuntimeError: From RDKit.
    """
    return normalise(find_parent(mol).mol)


def find_parent(mol: Chem.Mol) -> Parent:
    """The compound of a record, without labels, stereo and bonds to metals."""
    mol = Chem.Mol(mol)
    Chem.RemoveStereochemistry(mol)
    for atom in mol.GetAtoms():
        atom.SetIsotope(0)
        atom.SetAtomMapNum(0)
    mol = Chem.RemoveHs(mol)  # deuterium has just become ordinary hydrogen
    return choose(_METALS.Disconnect(mol), neutral_smiles)


def normalise(mol: Chem.Mol) -> Chem.Mol:
    """One form for every functional group, and one charge state: charges are settled before, too, since a rule that joins opposite
    charges must not depend on where a proton was written."""
    return settle_charges(_NORMALISER.normalize(settle_charges(mol)))


def neutral_smiles(mol: Chem.Mol) -> str:
    """Canonical SMILES of a fragment, which does not depend on its charges; as written, where it is too large for a salt former."""
    if mol.GetNumHeavyAtoms() <= LARGEST_SALT_FORMER and not too_many_groups(mol):
        with suppress(ValueError, RuntimeError):
            mol = normalise(mol)
    return Chem.MolToSmiles(mol)


def cleaned(plain: str) -> str:
    """The SMILES after one more round of cleaning.

    Raises:
        RejectedError: It cannot be parsed any more.
        ValueError, RuntimeError: From RDKit.
    """
    mol = Chem.MolFromSmiles(plain)
    if mol is None:
        raise RejectedError(FAILED)
    return Chem.MolToSmiles(clean(mol), isomericSmiles=False) if needs_cleaning(plain, plain, mol) else plain


def settle(plain: str, step: Callable[[str], str] = cleaned) -> str:
    """Clean a SMILES again until that changes nothing.

    Some ylides have resonance forms between which cleaning goes round in a circle: its first member in the order of SMILES is taken, so
    that what is standardised already stays as it is.

    Args:
        plain: Canonical SMILES, once cleaned.
        step: One round of cleaning.
    Raises:
        RejectedError: It comes to no end, or as in `cleaned`.
    """
    forms = [plain]
    while (plain := step(plain)) not in forms:
        if len(forms) == ROUNDS:
            raise RejectedError(FAILED)
        forms.append(plain)
    return min(forms[forms.index(plain) :])


def check_effort(mol: Chem.Mol, max_heavy_atoms: int) -> None:
    """Refuse a parent that is too large, or that would take too long to normalise.

    Raises:
        RejectedError: With the reason.
    """
    if mol.GetNumHeavyAtoms() > max_heavy_atoms:
        raise RejectedError(TOO_LARGE.format(max_heavy_atoms))
    if too_many_groups(mol):
        raise RejectedError(TOO_MANY_GROUPS.format(GROUPS))


def too_many_groups(mol: Chem.Mol) -> bool:
    """Whether normalisation would take too long."""
    return len(mol.GetSubstructMatches(_REWRITTEN, maxMatches=GROUPS + 1)) > GROUPS


def check(plain: str, mol: Chem.Mol, max_heavy_atoms: int) -> None:
    """Refuse standardised structures that a fingerprint says nothing useful about.

    Raises:
        RejectedError: With the reason.
    """
    if "*" in plain:
        raise RejectedError(UNDEFINED_ATOM)
    if mol.GetNumHeavyAtoms() > max_heavy_atoms:
        raise RejectedError(TOO_LARGE.format(max_heavy_atoms))
    if not any(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms()):
        raise RejectedError(NO_CARBON)
