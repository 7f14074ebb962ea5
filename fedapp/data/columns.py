"""Which column of a table is read for what: the names that people's tables have, and a refusal where that is not certain."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from fedapp.data.notation import MOLAR, P_UNIT, RELATION_WORDS, RELATIONS, UNIT_WORDS, UNITS
from fedapp.errors import DataError

# what is read -> names of its column, ours first, then those of ChEMBL and MELLODY; case, spaces, `_`, `-` and `.` do not matter
NAMES: dict[str, tuple[str, ...]] = {
    "compound_id": ("compound_id", "molecule_chembl_id", "input_compound_id"),
    "name": ("id", "name"),  # of a compound, in a file of structures alone that has no compound_id
    "smiles": ("smiles", "canonical_smiles"),
    "assay_id": ("assay_id", "assay_chembl_id", "input_assay_id"),
    "target_id": ("target_id", "target_chembl_id"),
    "value": ("value", "standard_value"),
    "relation": ("relation", "standard_relation", "qualifier", "standard_qualifier"),
    "unit": ("unit", "units", "standard_unit", "standard_units"),
    "type": ("standard_type",),
    "group": ("group",),
    "endpoint": ("endpoint",),
    "weight": ("weight",),
    "auxiliary": ("auxiliary", "is_auxiliary"),
    "thresholds": ("thresholds", "threshold"),
}
SETTINGS = ("weight", "auxiliary", "thresholds")  # what an assays table may say of its assays' labels
OF_ASSAYS = ("target_id", *SETTINGS)  # what is read of an assays table where it is there
LABELS = ("label", "class", "active", "activity", "outcome", "y")  # further names of a column of values without a unit
QUANTITY = r"(?:(?:ic|ec|ac|xc|gi|cc)50|ki|kd|potency|value|standard value|activity|concentration)"
P_NAME = re.compile(r"p(?:(?:ic|ec|ac|xc|gi|cc)50|ki|kd|chembl ?value|activity)", re.IGNORECASE)
MOLAR_NAME = re.compile(rf"(?i:{QUANTITY}) ?[(\[]?({'|'.join(MOLAR)})[)\]]?")

MEASURED = ("value", "relation", "unit")  # read from one set of columns: what one says is about the other
STANDARD = "standard"
# words in the name of a column that is not read although it may say what an absent column would
TELLING = {
    "relation": ("relation", "rel", "qualifier", "operator", "op", "comparator", "inequality", "censor"),
    "unit": ("unit", "units", "uom"),
    "assay_id": ("assay", "endpoint", "task"),
    "weight": ("weight",),
    "auxiliary": ("auxiliary", "aux"),
    "thresholds": ("threshold", "thresholds", "cutoff"),
}
ALIKE = 0.8  # similarity of two words, 0 to 1, from which one is taken for a misspelling of the other
SHORT = 4  # letters below which every word has many others one letter away
# which cells tell, also those in lower case, and their least share: M is also somebody's sex
CONTENTS = {"relation": ({*RELATIONS}, {*RELATION_WORDS}, 2 / 3), "unit": ({*UNITS}, {*UNIT_WORDS}, 1.0)}


@dataclass(frozen=True)
class Chosen:
    """Columns of one table.

    Attributes:
        taken: What is read -> the column's name in the file.
        unit: That the name of the value's column tells.
        further: Of what is taken, columns that mean nothing by themselves: `tasks.group_by` may name them.
    """

    taken: dict[str, str]
    unit: str = ""
    further: tuple[str, ...] = ()


def plain(name: str) -> str:
    """A column's name without case, spaces, `_`, `-` and `.`."""
    return re.sub(r"[\s_.\-]+", "", name).lower()


_PLAIN = {role: tuple(map(plain, names)) for role, names in NAMES.items()}


def role_of(name: str) -> str:
    """What a column of this name is read for, or the name itself."""
    return next((role for role, names in _PLAIN.items() if plain(name) in names), name)


def choose(path: Path, header: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> Chosen:
    """Choose the column for everything that is to be read.

    Args:
        path: The table, for messages.
        header: Names of its columns; those without a name are never read.
        required: What must be there; keys of NAMES.
        optional: What may be there.
    Raises:
        DataError: Something required is missing, two columns may be meant, or something optional is missing and a column that is not
            read looks like it.
    """
    fitting = {role: [name for name in header if plain(name) in _PLAIN[role]] for role in (*required, *optional)}
    unit = ""
    if "value" in fitting and not fitting["value"]:
        fitting["value"], unit = _named_value(path, header, fitting)
    standard = {role: [name for name in fitting.get(role, []) if plain(name).startswith(STANDARD)] for role in MEASURED}
    if all(len(names) == 1 for names in standard.values()):
        fitting |= standard  # ChEMBL's comparable form; value, relation and units beside it are as published
    if missing := [role for role in required if not fitting[role]]:
        empty = "" if any(header) else " is empty: it"
        raise DataError(f"{path}{empty} has no column {', '.join(missing)}", _what_is_there(header, missing))
    taken = {role: _only(path, role, names) for role, names in fitting.items() if names}
    if unit and "unit" in taken:
        raise DataError(
            f"{path}: the column {taken['value']} names a unit, and there is a column {taken['unit']}",
            f"name the values' column value, or leave {taken['unit']} out",
        )
    absent = [role for role in optional if role not in taken and role in TELLING and not (role == "unit" and unit)]
    _refuse_names(path, [name for name in header if name and name not in taken.values()], absent)
    return Chosen(taken, unit)


def _named_value(path: Path, header: Sequence[str], fitting: Mapping[str, Sequence[str]]) -> tuple[list[str], str]:
    """Columns of values under another name than NAMES gives, and the unit that the name tells.

    Where a table has just two columns and one is the structure, the other is the value.
    """
    others = [name for name in header if name and not any(name in names for names in fitting.values())]
    units = {name: unit_in(name) for name in others}
    columns = [name for name in others if units[name] or plain(name) in LABELS]
    if not columns and len(others) == 1 and fitting.get("smiles") and len([name for name in header if name]) == 2:
        columns = others
    if len(columns) > 1:
        raise DataError(f"{path}: the values may be in {' or '.join(columns)}", "name the one that is meant value, or leave the others out")
    return columns, units[columns[0]] if columns else ""


def same_with_unit(unread: Sequence[str]) -> str | None:
    """The one column that holds the table's values once more and names their unit, such as `value_nM` beside `value`; None without."""
    same = [name for name in unread if plain(name).startswith("value") and unit_in(name)]
    return same[0] if len(same) == 1 else None


def unit_in(name: str) -> str:
    """The unit that a column's name tells: `pIC50` is p, `IC50 (nM)` or `Ki_uM` molar; "" for all others."""
    words = re.sub(r"[\s_\-]+", " ", name).strip()
    if P_NAME.fullmatch(words):
        return P_UNIT
    molar = MOLAR_NAME.fullmatch(words)
    return molar[1] if molar else ""


def _only(path: Path, role: str, names: list[str]) -> str:
    """The one column to read: for ids and structures ours before those of others, for what is measured or set never a guess.

    Raises:
        DataError: More than one may be meant.
    """
    order = _PLAIN[role] if role not in (*MEASURED, *SETTINGS) else ()
    best = next(([name for name in names if plain(name) == known] for known in order if known in map(plain, names)), names)
    if len(best) == 1:
        return best[0]
    if len(set(best)) == 1:
        raise DataError(f"{path} has the column {best[0]} more than once", "keep the one that is meant")
    raise DataError(f"{path}: the {role} may be in {' or '.join(best)}", "keep the one that is meant, and rename or leave out the other")


def _what_is_there(header: Sequence[str], missing: Sequence[str]) -> str:
    named = ", ".join(name for name in header if name)
    known = "; ".join(f"{role} may be called {', '.join(NAMES[role])}" for role in missing)
    wide = ", or pIC50, Ki_nM, IC50 (uM), label and the like, one value a row" if "value" in missing else ""
    return f"its first line reads {named[:200] or '(nothing)'}; {known}{wide}"


def _refuse_names(path: Path, unread: Iterable[str], absent: Iterable[str]) -> None:
    for role in absent:
        for name in unread:
            if any(_alike(word, known) for word in _words(name) for known in TELLING[role]):
                raise DataError(f"{path} has no column {role}, but one called {name}, which looks like it", _remedy(role))


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def _alike(word: str, known: str) -> bool:
    if len(known) < SHORT:
        return word == known
    return word[0] == known[0] and SequenceMatcher(None, word, known).ratio() >= ALIKE


def refuse_contents(path: Path, samples: Mapping[str, Iterable[str]], absent: Iterable[str]) -> None:
    """Refuse a table without a relation or a unit in which a column that is not read holds such, whatever it is called.

    Args:
        samples: Some cells of each column that is not read, those that hold anything.
        absent: What the table has no column for.
    Raises:
        DataError: It names the column.
    """
    for role in CONTENTS.keys() & set(absent):
        known, words, share = CONTENTS[role]
        for name, cells in samples.items():
            written = [text for cell in cells if (text := unquoted(cell.strip()))]
            telltale = [text for text in written if text in known or text.lower() in words]
            if telltale and len(telltale) >= share * len(written):
                example = min(telltale)
                raise DataError(f"{path} has no column {role}, but {name} holds such ({example})", _remedy(role))


def unquoted(cell: str) -> str:
    """A cell without the quotes that ChEMBL's download puts around a relation."""
    return cell[1:-1] if len(cell) > 2 and cell[0] == cell[-1] and cell[0] in "'\"" else cell


def _remedy(role: str) -> str:
    others = f" (or {', '.join(NAMES[role][1:])})" if NAMES[role][1:] else ""
    return f"call it {role} to have it read{others}, or leave it out"
