"""What in a partner's own figures needs a person's attention: what its updates and sums tell, and terms weaker than those that ship.

Nothing here stops a round: what must be stopped is refused elsewhere (`strategies.update.self_audit`, `fedapp.site.floor`). But none of
it is a fact among others either, so page, terminal, `doctor` and metrics show it as a warning with what to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedapp.errors import PolyphonyError
from fedapp.site.agreed import check_agreed
from fedapp.site.floor import DEFAULT, check_floor, shortfalls
from fedapp.site.folder import Site
from fedapp.site.status.ledger import HeldTrunk, clearest, most_bare, most_named
from fedapp.site.terms import Terms
from fedapp.wording import percent, plural
from strategies.update.self_audit import OWN, SUM, Audited

NEAR = 0.8  # of what is allowed
RAISE = (
    "Ask the coordinator and the other partners why that was needed. If it is a good reason, raise {} in policy.yaml, and in floor.yaml "
    "where that says less."
)
NOT_TAKEN_BACK = "What has left cannot be taken back."
IN_WORDS = {
    "aggregation": "No masks",
    "sums": "Sums that tell much",
    "weights": "Weights that tell of labels",
    "endpoints": "Shared heads of few labels",
    "rounds": "Many rounds",
    "repetition": "Much repetition",
    "metrics": "Metrics shown",
}
IN_WORDS |= {"noise": "Little noise", "row guard": "Little row guard", "self-audit": "Lenient self-audit"}


@dataclass(frozen=True)
class Concern:
    """One warning.

    Attributes:
        about: A title.
        told: What is the matter.
        hint: What to do about it.
    """

    about: str
    told: str
    hint: str


def concerns(
    site: Site, terms: Terms | None, audits: list[Audited], trunk: HeldTrunk, repetition: Mapping[str, Any] | None
) -> list[Concern]:
    """All warnings of a partner, the gravest first.

    Args:
        terms: None if its files cannot be read, which is said elsewhere.
        audits: Every line of its self-audit.
        trunk: What it holds.
        repetition: As `repeated.repeated` tells it; None if its file is unusable.
    """
    of_files = refused(site) + weak_terms(terms) if terms else []
    return leaks(terms, audits) + repeated_often(repetition) + of_files + nothing_in_common(trunk)


def refused(site: Site) -> list[Concern]:
    """That no request is answered, because of the site's own floor, or of files that are not what was agreed on."""
    try:
        check_floor(site)
        check_agreed(site)
    except PolyphonyError as error:
        return [Concern("Every request is refused", f"{error}.", f"{error.hint[:1].upper()}{error.hint[1:]}.")]
    return []


def leaks(terms: Terms | None, audits: list[Audited]) -> list[Concern]:
    """All that a partner's own attacks found: what page, terminal, `doctor` and metrics tell is told here."""
    return named_compounds(terms, audits) + told_apart(terms, audits) + bare_rows(audits)


def named_compounds(terms: Terms | None, audits: list[Audited]) -> list[Concern]:
    """Own compounds that attacks on a sum, or on an update of ours, named."""
    in_all = audits[-1].compounds if audits else 0
    by_sum, by_own = most_named(audits, SUM) or 0, most_named(audits, OWN) or 0
    concerns = []
    if by_sum:
        concerns.append(
            Concern(
                "A sum names compounds of ours",
                f"The self-audit named {by_sum:,} of {plural(in_all, 'own training compound')} from a sum that came home. Every partner "
                "has that sum, and whoever has these compounds in a list finds that we trained on them.",
                f"{NOT_TAKEN_BACK} {remedy(terms)}",
            )
        )
    if by_own:
        left = "Such an update stays at home."
        if terms is None or terms.noisy or by_own <= terms.most_identified * in_all:
            left = "It left under masks, since policy.yaml allows that: all other partners together can take their own off the sum."
        concerns.append(
            Concern(
                "An update of ours names compounds",
                f"The self-audit named {by_own:,} of {plural(in_all, 'own training compound')} from an update of this partner. {left}",
                remedy(terms),
            )
        )
    return concerns


def told_apart(terms: Terms | None, audits: list[Audited]) -> list[Concern]:
    """Vectors that tell who was trained on."""
    concerns = []
    for vector, about, seen in (
        (SUM, "A sum tells who was trained on", f"Every partner has that sum. {NOT_TAKEN_BACK}"),
        (OWN, "An update of ours tells who was trained on", "Under masks none but all other partners together find it in the sum."),
    ):
        worst = clearest([audit for audit in audits if audit.tells_trained], vector)
        if worst is not None:
            told = (
                f"The self-audit held {plural(worst.trained, 'own compound')} that we trained on against {worst.others:,} that we did not, "
                f"in round {worst.round}: in {percent(worst.auc)} of pairs the trained one explains more, where chance is 50 %. {seen}"
            )
            concerns.append(Concern(about, told, remedy(terms)))
    return concerns


def bare_rows(audits: list[Audited]) -> list[Concern]:
    """Rows that have so few supporters that one partner sees another's."""
    bare, of_others = most_bare(audits) or (0, 0)
    if not bare and not of_others:
        return []
    return [
        Concern(
            "Rows of single partners are seen bare",
            f"We support {plural(bare, 'listed row')} that one other partner at most supports, and whoever takes its own off a sum has "
            f"our update of these. Of {of_others:,} we see one other partner's in the same way. {NOT_TAKEN_BACK}",
            f"Agree with all partners on privacy.least_supporters={DEFAULT.least_supporters} before the next round: then there is none.",
        )
    ]


def misbehaved(proven: Mapping[str, list[str]]) -> list[Concern]:
    """Partners that were proven to misbehave: whether by a fault or on purpose is for people to ask."""
    return [
        Concern(
            f"{name} misbehaved",
            f"It is proven: {'; '.join(done)}. The coordinator left it out of the run that it served then, and no further.",
            "The proof is in our transcript, and anybody can check it by the roster alone: polyphony transcript verify. Ask that partner, "
            "and take it out of the roster if its answer does not do.",
        )
        for name, done in proven.items()
    ]


def repeated_often(repetition: Mapping[str, Any] | None) -> list[Concern]:
    """Limits on repetition that are reached, or nearly."""
    if repetition is None or repetition["allowed"]["sessions"] is None:
        return []
    allowed, signed, found = repetition["allowed"], repetition["survivor_lists"], []
    if 1 < signed >= allowed["survivor_lists"]:
        found.append(
            Concern(
                f"Round {repetition['round']} was repeated as often as is allowed",
                f"{plural(signed, 'list')} of its survivors were signed, of {allowed['survivor_lists']:,} that policy.yaml allows. Each "
                "sum of one round in another cohort tells a partner that works with the coordinator more of our update. Unless such a sum "
                "comes home, this site trains that round no more.",
                RAISE.format("survivor_lists"),
            )
        )
    for name, about in (("sessions", "sessions of this run were joined"), ("cohort_changes", "times another cohort was signed for")):
        if repetition[name] >= NEAR * allowed[name]:
            then = "The next one is refused." if repetition[name] >= allowed[name] else "What exceeds it is refused."
            told = f"{repetition[name]:,} {about}, of {allowed[name]:,} that policy.yaml allows. {then}"
            found.append(Concern("Much was repeated", told, RAISE.format(name)))
    return found


def weak_terms(terms: Terms) -> list[Concern]:
    """Terms that fall short of those that ship, whatever this site's own floor allows."""
    return [
        Concern(
            IN_WORDS[name],
            f"This site takes part under weaker terms than the defaults: {reason}.",
            "If that is not meant, agree on others with all partners, install their kit, and raise floor.yaml so that none falls below.",
        )
        for name, reason in shortfalls(terms, DEFAULT).items()
    ]


def nothing_in_common(trunk: HeldTrunk) -> list[Concern]:
    """A row list on which there is no row: rounds go on and are worth next to nothing."""
    if not trunk.rows or trunk.listed:
        return []
    return [
        Concern(
            "Nothing of the first layer is learned together",
            f"None of its {trunk.rows:,} rows passes the row guard at as many partners as a row needs; every partner trains them at home, "
            "by itself.",
            "Take part with more compounds, or agree with all partners on shorter fingerprints (chemistry.bits); for compounds that are no "
            "secret a smaller privacy.row_guard does it too.",
        )
    ]


def remedy(terms: Terms | None) -> str:
    """What keeps rows from naming compounds in the next rounds."""
    if terms is not None and terms.row_guard < DEFAULT.row_guard:
        return f"Agree with all partners on privacy.row_guard={DEFAULT.row_guard} (here it is {terms.row_guard}) before the next round."
    return "Agree with all partners on a larger privacy.row_guard, or take part with more compounds; `polyphony audit` tells what it takes."
