"""What a session and a round took in version 1 of the protocol: a law to show growth against.

Fitted to three rounds each of 10, 50 and 100 partners of whom one in twenty dropped out, by one thread of an Intel Xeon of 2026. It meets
the medians of 50 and 100 partners within a fifth. Beyond, it goes on: 200 were measured on a busy machine only, where all took longer.
Another machine has another scale.
"""

from typing import Any

# Seconds for each term; n is the number of partners in the session. The coordinator takes off one mask for each survivor, and one for
# each pair of a survivor and a partner that dropped out.
LAW = {
    "partner_share_s": {"1": 2e-3, "n^3": 1.9e-7},
    "partner_answer_s": {"n": 1.05e-3},
    "set_up_s": {"n": 1.2e-3, "n^2": 3e-6},
    "coordinator_s": {"n": 1.5e-3, "n^3": 4.2e-7, "words (n + masks)": 1e-9},
}


def first_version(partners: int, words: int, dropped: int) -> dict[str, Any]:
    """The law as a text, and what follows from it: seconds of one partner, and of the coordinator.

    Args:
        partners: In the session.
        words: Length of an update.
        dropped: Partners that fell silent.
    """
    masks = (partners - dropped) * (1 + dropped)
    sizes = {"1": 1, "n": partners, "n^2": partners**2, "n^3": partners**3, "words (n + masks)": words * (partners + masks)}
    law = {what: " + ".join(f"{seconds:g} {size}".removesuffix(" 1") for size, seconds in terms.items()) for what, terms in LAW.items()}
    return {"law": law, **{what: sum(seconds * sizes[size] for size, seconds in terms.items()) for what, terms in LAW.items()}}
