"""What an audit's figures are called on its page: names of findings as words for readers who train no models."""

TITLES = {
    "identified_by_rows": "Compounds named one by one, by the rows of the sum",
    "identified_by_elimination": "Compounds named one by one, by striking out candidates",
    "identified_repeated_round": "Compounds named one by one, of one partner, if a round is repeated",
    "decoded_fingerprints": "Whole fingerprints read off the sum, without any list",
    "inverted_fingerprints": "Fingerprints rebuilt by optimisation",
    "membership_by_regression": "Who was trained on, by fitting a list of candidates to the sum",
    "membership_by_union": "Who was trained on, by whether all its bits are in the sum",
    "membership_trunk": "Who was trained on, by a partner that has the last trunk",
    "membership_trunk_rounds": "Who was trained on, by a partner that keeps the trunks of all rounds",
    "membership_support": "Who was trained on, by a partner that has the row list",
    "membership_partner": "Who was trained on, by a partner that keeps all trunks and the row list",
    "membership_separated": "Who was trained on, by a partner that takes its own share off and uses all it has",
    "membership_shared_heads": "Who was trained on, by a partner that keeps the shared heads",
    "membership_shared": "Who was trained on, by a partner that keeps shared heads, trunks and row list",
    "membership_repeated_round": "Who was trained on, of one partner, if a round is repeated",
    "membership_lira": "Who was trained on, by an outsider that sees how sure a model is",
    "membership_rmia": "Who was trained on, by an outsider that compares a model's errors with other models'",
    "membership_loss": "Who was trained on, by an outsider that sees a model's errors",
    "canary_epsilon": "Who was trained on, of compounds made up for this",
    "canary_gaussian": "The same, as a distance of two normal curves",
    "attribution": "Whose compound it is",
    "isolated_rows": "Rows of the sum that can be told to be one other partner's",
    "endpoint_holders": "Who measures an endpoint",
    "shared_labels": "Which label a compound has, from a shared head",
    "bits_present": "Which bits are in the sum",
    "property": "Which bits others train on, from the row list",
    "cooccurrence": "Which substructures occur together in others' compounds",
    "label_direction": "Which substructures act alike in others' assays",
    "data_quality": "How much data others have, and how good they are",
    "partner_sizes": "The order of partners' sizes",
    "target_in_play": "Whether somebody trains on a target",
    "series_in_play": "Whether somebody trains on a series",
    "coordinator_view": "What the coordinator reads in masked messages",
}

# What a name may end with, where one attack has several figures.
ENDINGS = {
    "_at_0": "none mistaken",
    "_at_1_percent": "1\u00a0% mistaken",
    "_auc": "told from one that was not",
    "_inactive": "without an active label",
    "_active": "with an active label",
    "_rare": "of rare scaffolds",
    "_alone": "that one partner alone holds",
}

# Headings over the attacks, and what names of figures under them begin with, in the order of the page.
SUBJECTS = {
    "Compounds named or decoded": ("identified", "decoded", "inverted"),
    "Who was trained on": ("membership", "canary"),
    "Whose it is": ("attribution", "isolated", "endpoint"),
    "What compounds are like and do": ("shared_labels", "bits", "property", "cooccurrence", "label"),
    "Partners as a whole": ("data", "partner", "target", "series"),
    "What the coordinator sees": ("coordinator",),
}
OTHER_SUBJECT = "Other attacks"


def title(name: str) -> str:
    """A finding's name in words; of one that has none here its own, with blanks."""
    ending = next((each for each in ENDINGS if name.endswith(each) and name.removesuffix(each) in TITLES), None)
    if name in TITLES or ending is None:
        return TITLES.get(name, name.replace("_", " "))
    return f"{TITLES[name.removesuffix(ending)]}: {ENDINGS[ending]}"


def subject(name: str) -> str:
    """Under which heading an attack stands that has a figure of this name."""
    return next((heading for heading, beginnings in SUBJECTS.items() if name.startswith(beginnings)), OTHER_SUBJECT)
