"""Why a structure cannot be used: a small set of reasons, so that they can be counted."""

UNPARSEABLE = "SMILES cannot be parsed"
FURTHER_TEXT = "SMILES is followed by other text"
EXTENDED = "SMILES has an extension (|...|) that says more than stereo and coordinates"
REACTION = "a reaction is not a structure"
QUERY = "a query (SMARTS) is not a structure"
TOO_LONG = "SMILES has more than {} characters"
TOO_MANY_ATOMS = "structure has more than {} atoms with its salts"
TOO_MANY_RINGS = "structure has more than {} rings"
TOO_LARGE = "structure has more than {} heavy atoms"
TOO_MANY_GROUPS = "structure has more than {} groups to normalise"
NO_ATOMS = "structure has no atoms"
NO_CARBON = "structure has no carbon"
UNDEFINED_ATOM = "structure has an undefined atom (*)"
FAILED = "structure cannot be standardised"
TOO_SLOW = "structure takes too long to standardise"
CRASHED = "structure makes RDKit crash"


class RejectedError(ValueError):
    """A structure that cannot be used; the text is one of the reasons above."""
