"""Structures that several tests use: the demo's, and ones that are awkward to standardise."""

from rdkit import rdBase

from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import standardise
from fedapp.config import Chemistry
from fedapp.data.demo import nci_structures

CHEMISTRY = Chemistry(radius=3, bits=32768, max_heavy_atoms=100, folds=5, fold_key_file=None)
KEY = b"a consortium's long and secret key"

# what a partner may write -> what all partners get
TRICKY = {
    "CC(=O)[O-].[Na+]": "CC(=O)O",  # a salt
    "CC(=O)O[Na]": "CC(=O)O",  # the same, drawn covalently
    "CCN(CC)CC.Cl": "CCN(CC)CC",
    "CC[NH+](CC)CC.[Cl-]": "CCN(CC)CC",
    "[NH3+]CC(=O)[O-]": "NCC(=O)O",  # a zwitterion of one acid and one base
    "C[N+](C)(C)CC(=O)[O-]": "C[N+](C)(C)CC(=O)[O-]",  # betaine: the cation cannot lose a proton, so the pair stays
    "C[N+](C)(C)CCO.[Cl-]": "C[N+](C)(C)CCO",
    "CN(=O)=O": "C[N+](=O)[O-]",
    "[O-][N+](=O)CS(C)=O": "C[S+]([O-])C[N+](=O)[O-]",  # a nitro group drawn with its charges, and a group that is not
    "O=[N+]([O-])C=CN(C)C": "CN(C)C=C[N+](=O)[O-]",
    "CO[N+]([O-])=O": "CO[N+](=O)[O-]",
    "CC(=[N+]([O-])O)C": "CC(C)=[N+]([O-])O",  # a nitronic acid is none
    "[O-][N+](=O)[N+]([O-])=NC": "CN=[N+]([O-])[N+](=O)[O-]",
    "CS(C)=O": "C[S+](C)[O-]",
    "CN=N#N": "CN=[N+]=[N-]",
    "O=n1ccccc1": "[O-][n+]1ccccc1",
    "[2H]C([2H])([2H])O": "CO",  # deuterium
    "[13CH3]O": "CO",
    "[CH3:7][OH:8]": "CO",  # atom maps
    "C[C@H](N)C(=O)O": "CC(N)C(=O)O",
    "C/C=C/C": "CC=CC",
    "CC(=O)O[Zn]OC(C)=O": "CC(=O)O",
    "[O-]S(=O)(=O)c1ccccc1.[Na+]": "O=S(=O)(O)c1ccccc1",
    "CC(=O)O.CCCCCC": "CCCCCC",
    "O=S(=O)(O)O.CN": "CN",  # an organic fragment is kept even if it is the smaller one
    "C1=CC=CC=C1": "c1ccccc1",
    "OC(=O)c1ccccc1C(=O)[O-].[K+]": "O=C(O)c1ccccc1C(=O)O",
}


def demo_smiles(every: int) -> list[str]:
    """Every n-th structure of the demo that can be standardised, as it was written."""
    usable = []
    with rdBase.BlockLogs():
        for _, smiles in nci_structures()[::every]:
            try:
                standardise(smiles, CHEMISTRY.max_heavy_atoms)
            except RejectedError:
                continue
            usable.append(smiles)
    return usable
