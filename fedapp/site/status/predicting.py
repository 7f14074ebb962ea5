"""What predicts at a partner: the federated model, its own or both, as its validation fold chose; by the header of its model."""

from collections.abc import Mapping
from typing import Any

from fedapp.evaluation.arms import CHOOSING
from fedapp.evaluation.combination import MEMBERS, in_words


def predicting(header: Mapping[str, Any]) -> dict[str, Any] | None:
    """What predicts and how well, as one JSON object; None without a header, or with one that says something else.

    Keys: choice (by kind of task), members (those that predict: name, round, shared_heads by kind of task), words (both in words),
    figures (by fold, the metrics that choose rounds).
    """
    try:
        choice = {str(kind): str(chosen) for kind, chosen in header["choice"].items()}
        used = {name for chosen in choice.values() for name in MEMBERS[chosen]}
        members = [
            {"name": told["name"], "round": int(told["round"]), "shared_heads": dict(told["shared_heads"])}
            for told in header["members"]
            if told["name"] in used
        ]
        heads = {kind: chosen for member in members for kind, chosen in member["shared_heads"].items()}
        figures = {fold: {name: means[name] for name in CHOOSING.values()} for fold, means in header["figures"].items()}
        return {"choice": choice, "members": members, "words": in_words(choice, heads), "figures": figures}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
