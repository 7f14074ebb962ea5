"""How tables write values, units, relations and absent cells."""

from fedapp.config import P_THRESHOLDS

P_UNIT, PERCENT_UNIT, LABEL_UNIT = "p", "%", "label"  # -log10 M; of inhibition and the like; a 0/1 label beside values that have units
# unit -> p-value of 1 in that unit; both the micro sign and the Greek letter are in use
MOLAR = {"pM": 12.0, "nM": 9.0, "uM": 6.0, "\u00b5M": 6.0, "\u03bcM": 6.0, "mM": 3.0, "M": 0.0}
UNITS = (*MOLAR, P_UNIT, LABEL_UNIT)
# from 100 M, twice as many molecules as a litre of water holds, to 0.1 fM, below what any assay resolves
LOWEST_P, HIGHEST_P = -2.0, 16.0
MOSTLY = 0.5  # share of an assay's values without a unit that must be 0 or 1, or none of them is a label
LARGEST_PERCENT = 1000.0  # above or below zero: what assays give, with all their noise
VALUES_WITHIN = {P_UNIT: (LOWEST_P, HIGHEST_P), PERCENT_UNIT: (-LARGEST_PERCENT, LARGEST_PERCENT)}
THRESHOLDS_WITHIN = {  # unit -> where active may begin: the lowest, the highest, and what to do about another
    P_UNIT: (P_THRESHOLDS.low, P_THRESHOLDS.high, P_THRESHOLDS.hint),
    PERCENT_UNIT: (-LARGEST_PERCENT, LARGEST_PERCENT, "a threshold of values in % is in %: for half write 50"),
}

RELATIONS = {"=": "=", "~": "=", "<": "<", "<=": "<", "<<": "<", ">": ">", ">=": ">", ">>": ">"}
RELATIONS |= {"\u2248": "=", "\u2264": "<", "\u226a": "<", "\u2265": ">", "\u226b": ">"}
# Other ways to write them, which are not read, in lower case: a column that holds them is one of relations or of units all the same.
RELATION_WORDS = (
    *("==", "=<", "=>", "<>", "&lt;", "&gt;", "lt", "gt", "le", "ge", "lte", "gte", "eq", "equal", "equals", "approx"),
    *("less", "greater", "less than", "greater than", "less or equal", "greater or equal"),
)
UNIT_WORDS = (
    *(f"{prefix}{name}" for prefix in ("p", "n", "u", "\u00b5", "\u03bc", "m", "") for name in ("mol/l", "mol l-1", "mol/dm3")),
    *("picomolar", "nanomolar", "micromolar", "millimolar", "molar", "log m", "-log m", "-log10 m", "-log10(m)"),
)
FLIPPED = {"=": "=", "<": ">", ">": "<"}  # a concentration below x is a p-value above p(x)

# what pandas, R, SQL and Excel write where there is nothing; never the name of a compound, an assay or a target
ABSENT = ("NaN", "nan", "NAN", "None", "none", "NONE", "null", "NULL", "Null", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT")
