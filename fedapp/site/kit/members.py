"""Who joins, leaves or has new keys by a new roster, in words: who enters rests on people who compare these with what they heard."""

from fedapp.consortium.roster_file import Draft

HANDED = "the trunk of all rounds so far, with all rows that were ever trained"


def member_changes(before: Draft, after: Draft) -> list[str]:
    """What differs between the partners of two consortium files, a line each."""
    old, new = ({member.name: member.identity.fingerprint() for member in draft.members} for draft in (before, after))
    lines = [f"joins: {name}, fingerprint {new[name]}; it is handed {HANDED}" for name in new if name not in old]
    lines += [f"leaves: {name}, fingerprint {old[name]}; what it has of the trunk stays with it" for name in old if name not in new]
    both = [name for name in new if name in old]
    lines += [
        f"NEW IDENTITY {name}: {old[name]} -> {new[name]}; whoever has the new one is handed {HANDED}"
        for name in both
        if old[name] != new[name]
    ]
    return lines + [
        f"NEW NODE KEY {name}: it opens the connection to the coordinator alone, and the roster's digest does not cover it"
        for name in both
        if before.nodes.get(name) != after.nodes.get(name)
    ]
