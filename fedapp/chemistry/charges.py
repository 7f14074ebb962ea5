"""One charge state for every compound, whatever proton, counter-ion or zwitterion a partner wrote.

Every acid gets its proton and every base loses it. Only a cation that has no proton to lose, such as a quaternary ammonium, keeps its
charge, and then as many of the strongest acids lose theirs again as it takes to balance it: carnitine is its inner salt, written so or
as a hydrochloride.
"""

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

_NEUTRALISER = rdMolStandardize.Uncharger(canonicalOrder=True, force=True)

# Acids that are drawn without their proton beside a cation that cannot lose one, the strongest first; the first atom bears the proton.
# Phenols and alcohols are not among them but where they share an aromatic ring with the cation (sydnones, pyridinium olates).
_ACIDS = [
    Chem.MolFromSmarts(smarts)
    for smarts in (
        "[OX2H1][+1]",  # a protonated N-oxide or sulfoxide
        "[OX2H1]S(=O)=O",
        "[OX2H1]P=O",
        "[OX2H1,SX2H1][C,S]=[O,S]",
        "[nH1;$(n1nnnc1),$(n1nncn1)]",
        "[NX3H1](S(=O)=O)[C,S]=O",
        "[NX3H1]([n+])[C,S]=O",
        "[OX2H1,SX2H1][c;$(c[n+]),$(c:a:[n+;R]),$(c:a:a:[n+])]",
        "[NX3H1;$(N[C,S]=O),$(NC#N)][c;$(c[n+]),$(c:a:[n+])]",
        "[OX2H1]C=CC=O",
    )
]


def settle_charges(mol: Chem.Mol) -> Chem.Mol:
    """Neutralise a molecule of one fragment as far as it goes.

    Raises:
        ValueError, RuntimeError: From RDKit: an impossible valence.
    """
    mol = _NEUTRALISER.uncharge(mol)
    for _ in range(Chem.GetFormalCharge(mol)):
        acids = _strongest(mol)
        if not acids:
            break
        mol = min((_deprotonated(mol, atom) for atom in acids), key=Chem.MolToSmiles)
    return mol


def _strongest(mol: Chem.Mol) -> set[int]:
    """Atoms that bear the proton of the strongest acids."""
    matches = (mol.GetSubstructMatches(acid) for acid in _ACIDS)
    return {match[0] for match in next(filter(None, matches), ())}


def _deprotonated(mol: Chem.Mol, index: int) -> Chem.Mol:
    mol = Chem.RWMol(mol)
    atom = mol.GetAtomWithIdx(index)
    atom.SetFormalCharge(-1)
    atom.SetNumExplicitHs(0)
    Chem.SanitizeMol(mol)
    return mol.GetMol()
