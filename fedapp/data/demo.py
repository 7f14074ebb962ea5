"""The embedded demo: real structures that ship inside RDKit, with endpoints computed from them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from rdkit import Chem, RDConfig, rdBase
from rdkit.Chem import Descriptors, GraphDescriptors, rdMolDescriptors
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from fedapp.chemistry.rejection import RejectedError
from fedapp.chemistry.standardise import standardise
from fedapp.config import Chemistry, Tasks
from fedapp.data.dataset import Dataset, build_dataset
from fedapp.data.notation import LABEL_UNIT, P_UNIT
from fedapp.data.prepare import prepare
from fedapp.data.tables import NOTE_FILE
from fedapp.errors import DataError
from fedapp.storage.files import write_text
from fedapp.storage.leftovers import UNFINISHED, held_folder
from fedapp.storage.output import Kind, output_folder

NOTE = (
    "Demo: the labels are computed from the structures (RDKit descriptors and structural alerts of 4,999 NCI compounds); "
    "they are not bioactivity, and no figure here says anything about drug discovery."
)

TABLES_FOLDER = Kind("a folder of the demo's tables")
SEED = 20_240_229
SHARED = 0.2  # of all compounds lie in a common pool, of which each partner holds a random half
LARGEST_TO_SMALLEST = 3.0  # private compounds of the first partner to those of the last
MEASURED = 0.5  # of its compounds a partner measures in one assay
LOWEST, HIGHEST = 4.5, 8.5  # range of the imaginary instrument; beyond it values are censored
MAX_HEAVY_ATOMS = 100

# name -> descriptor, its typical value and spread over these compounds; typical is placed at p = 6.5, one spread is one unit
DESCRIPTORS: dict[str, tuple[Callable[[Chem.Mol], float], float, float]] = {
    "logp": (lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0], 2.3, 1.9),
    "polar-surface": (rdMolDescriptors.CalcTPSA, 48.0, 30.0),
    "sp3-fraction": (rdMolDescriptors.CalcFractionCSP3, 0.38, 0.38),
    "positive-charge": (Descriptors.MaxPartialCharge, 0.215, 0.118),
    "refractivity": (lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[1], 62.0, 26.0),
    "acceptors": (rdMolDescriptors.CalcNumHBA, 2.9, 1.6),
    "flexibility": (rdMolDescriptors.CalcPhi, 4.1, 2.4),
    "electronic-state": (Descriptors.MaxEStateIndex, 9.2, 3.2),
    "surface": (rdMolDescriptors.CalcLabuteASA, 95.0, 38.0),
    "rotatable-bonds": (rdMolDescriptors.CalcNumRotatableBonds, 3.3, 2.5),
    "complexity": (GraphDescriptors.BertzCT, 385.0, 262.0),
    "branching": (GraphDescriptors.BalabanJ, 2.7, 0.65),
}
ALERTS = ("BRENK", "ZINC", "CHEMBL_Glaxo", "CHEMBL_Inpharmatica", "CHEMBL_LINT", "CHEMBL_SureChEMBL")
DESCRIPTORS_HELD, DESCRIPTORS_STEP = 6, 3  # neighbours in the ring of partners have half of their endpoints in common
ALERTS_HELD, ALERTS_STEP = 3, 2


def demo_tables(out: Path, partner: int, partners: int) -> None:
    """Write one partner's tables: compounds.csv, activities.csv and note.txt; always the same for the same arguments.

    Descriptors become p-values (unit "p", censored beyond 4.5 to 8.5), so the usual thresholds make tasks of them; alerts become
    0/1 labels. Partners differ in size, share some compounds and some endpoints; equal names mean the same endpoint.

    Args:
        out: Folder to write, as a whole; our own earlier output is replaced.
        partner: 1 .. partners.
        partners: How many partners there are in all.
    Raises:
        DataError: No such partner.
    """
    if not 1 <= partner <= partners:
        raise DataError(f"the demo has partners 1 to {partners}, not {partner}")
    compounds = demo_compounds(partner, partners)
    activities = _measure(compounds, partner, partners)
    schema = {"assay_id": pl.String, "compound_id": pl.String, "relation": pl.String, "value": pl.String, "unit": pl.String}
    with output_folder(out, TABLES_FOLDER) as folder:
        pl.DataFrame(compounds, schema={"compound_id": pl.String, "smiles": pl.String}, orient="row").write_csv(folder / "compounds.csv")
        pl.DataFrame(activities, schema=schema, orient="row").write_csv(folder / "activities.csv")
        write_text(folder / NOTE_FILE, NOTE + "\n")


@cache
def nci_structures() -> list[tuple[str, str]]:
    """(id, SMILES) of the NCI compounds in RDKit's own data folder.

    Raises:
        DataError: This RDKit came without its data.
    """
    path = Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read RDKit's example structures {path}", "install rdkit from PyPI: pip install rdkit") from error
    return [(f"NCI-{number}", smiles) for smiles, number in (line.split()[:2] for line in lines if line.strip())]


def demo_compounds(partner: int, partners: int) -> list[tuple[str, str]]:
    """A partner's compounds: its own, and half of a common pool."""
    structures = nci_structures()
    order = np.random.default_rng([SEED, partners]).permutation(len(structures))
    common, private = np.split(order, [int(SHARED * len(order))])
    weights = LARGEST_TO_SMALLEST ** (-np.arange(partners) / max(partners - 1, 1))
    ends = np.round(np.cumsum(weights / weights.sum()) * len(private)).astype(int)
    alone = np.split(private, ends[:-1])[partner - 1]
    borrowed = np.random.default_rng([SEED, partners, partner]).choice(common, len(common) // 2, replace=False)
    return [structures[index] for index in sorted([*alone, *borrowed])]


def _measure(compounds: list[tuple[str, str]], partner: int, partners: int) -> list[tuple[str, str, str, str, str]]:
    """Rows (assay_id, compound_id, relation, value, unit): each of the partner's endpoints on a random half of its compounds."""
    with rdBase.BlockLogs():
        molecules = [(compound, mol) for compound, smiles in compounds if (mol := _molecule(smiles)) is not None]
        generator = np.random.default_rng([SEED, partners, partner, 1])
        rows = []
        for name in _held(tuple(DESCRIPTORS), DESCRIPTORS_HELD, DESCRIPTORS_STEP, partner):
            for compound, mol in _some(molecules, generator):
                if (measured := _p_value(name, mol)) is not None:
                    rows.append((name, compound, *measured, P_UNIT))
        for name in _held(ALERTS, ALERTS_HELD, ALERTS_STEP, partner):
            catalogue = _catalogue(name)
            hits = [(compound, int(catalogue.HasMatch(mol))) for compound, mol in _some(molecules, generator)]
            rows += [(f"alert-{name.lower()}", compound, "=", str(hit), LABEL_UNIT) for compound, hit in hits]
    return rows


def _molecule(smiles: str) -> Chem.Mol | None:
    """The standardised molecule, so that labels belong to what is fingerprinted."""
    try:
        return standardise(smiles, MAX_HEAVY_ATOMS)[1]
    except RejectedError:
        return None


def _held(names: tuple[str, ...], number: int, step: int, partner: int) -> list[str]:
    """A partner's window on the ring of endpoints."""
    return [names[(step * (partner - 1) + offset) % len(names)] for offset in range(number)]


def _some(molecules: list[tuple[str, Chem.Mol]], generator: np.random.Generator) -> list[tuple[str, Chem.Mol]]:
    chosen = generator.random(len(molecules)) < MEASURED
    return [molecule for molecule, take in zip(molecules, chosen, strict=True) if take]


def _p_value(name: str, mol: Chem.Mol) -> tuple[str, str] | None:
    """Relation and value as an assay would report them; None where the descriptor is undefined."""
    descriptor, typical, spread = DESCRIPTORS[name]
    value = 6.5 + (float(descriptor(mol)) - typical) / spread
    if not np.isfinite(value):
        return None
    if value < LOWEST:
        return "<", f"{LOWEST}"
    return (">", f"{HIGHEST}") if value > HIGHEST else ("=", f"{value:.2f}")


def _catalogue(name: str) -> FilterCatalog:
    parameters = FilterCatalogParams()
    parameters.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(parameters)


def demo_dataset(out: Path, partner: int, partners: int, chemistry: Chemistry, tasks: Tasks) -> Dataset:
    """Build one partner's dataset of the demo, from its tables as from anybody's.

    Args:
        out: Folder to write, as a whole or not at all.
        partner: 1 .. partners.
        partners: How many partners there are in all.
        chemistry: Fingerprint and folds.
        tasks: Thresholds and quorum.
    Raises:
        DataError: No such partner, or no task that passes the quorum.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with held_folder(".demo.", out.parent, UNFINISHED) as scratch:
        tables, prepared = scratch / "tables", scratch / "prepared"
        demo_tables(tables, partner, partners)
        prepare(tables, prepared, chemistry, workers=1)  # small, and inside Flower's own processes it must not start more
        return build_dataset(prepared, out, f"partner-{partner}", tasks)
