"""What the coordinator and the partners of a run could see: what aggregation and row guard hold back, and no more than that."""

from collections.abc import Mapping
from dataclasses import dataclass

from fedapp.report.saved_run import SavedRun
from fedapp.wording import percent, plural, was_or_were
from strategies.update.row_guard import least_holders
from strategies.update.self_audit import OWN, ROW_LIST, SUM


@dataclass(frozen=True)
class Statement:
    """One thing that somebody saw or did not see; `loud` if no confidential compound should ever be run this way."""

    title: str
    text: str
    loud: bool = False


ADVISED_GUARD = 20  # the default; a smaller one has let compounds be named
OLDER_SUPPORTERS = 2  # of runs whose configuration does not say
RECORD_DP, RECONSTRUCTION_NOISE = "record_dp", "reconstruction_noise"


def disclosure(run: SavedRun) -> list[Statement]:
    """What the coordinator saw, what partners saw, what that says about compounds, and what it named of them."""
    secure, guard = run.setting("aggregation") == "secure", int(run.setting("privacy.row_guard"))
    profile = run.setting("privacy.profile", "none")
    supporters = int(run.setting("privacy.least_supporters", OLDER_SUPPORTERS))
    coordinator = blind_coordinator(run) if secure else plain_coordinator(guard)
    sentences = [coordinator, partners_saw(counted=secure and guard > 1)]
    shares = run.setting("tasks.catalogue") is not None
    sentences.append(noisy(run) if profile == RECORD_DP else guarded(guard, supporters, shares) if guard > 1 else unguarded())
    if shares:
        sentences.append(shared_heads(run, secure, least_holders(supporters)))
    if profile == RECONSTRUCTION_NOISE:
        sentences.append(weakly_noisy())
    sums = [row for rows in run.audits.values() for row in rows if row.vector == SUM]
    if sums and not any(row.rows for row in sums):
        sentences.append(nothing_in_common(guard, supporters))
    sentences += told_apart(run) + bare_rows(run)
    attacked = any(row.vector != ROW_LIST for rows in run.audits.values() for row in rows)
    return [*sentences, named(run, guard)] if attacked else sentences


def warnings(run: SavedRun) -> list[str]:
    """What whoever started a run is told at its end, beside its figures."""
    return [f"{sentence.title} {sentence.text}" for sentence in disclosure(run) if sentence.loud]


def plain_coordinator(guard: int) -> Statement:
    """What the coordinator saw under plain aggregation: everything."""
    lists = ", as did its list of fingerprint bits" if guard > 1 else ""
    return Statement(
        "The coordinator saw every update in the clear.",
        f"This run has aggregation = plain, which is for comparison only: each partner's update reached the coordinator unmasked{lists}, "
        "and the coordinator held the trunk. That needs trust in the coordinator which competitors do not have. Do not run confidential "
        "compounds this way.",
        loud=True,
    )


def blind_coordinator(run: SavedRun) -> Statement:
    """What the coordinator saw under secure aggregation, and what it knows all the same."""
    shown = run.setting("federation.metrics_shown")
    means = f", and the partners' mean of {' and '.join(map(str, shown))} in every round" if shown else ""
    first = ""
    if run.setting("federation.initial_trunk") == "seed":
        first = " The trunk before the first round was drawn from the seed, so that the simulation repeats, and was no secret."
    return Statement(
        "The coordinator saw neither an update nor the sum of the updates nor the trunk.",
        "Partners masked their updates, and the coordinator added words that it could not read. That holds as long as no partner works "
        f"with it. What it does know: who answered and when, how long the messages were and with that how many rows the sum has{means}."
        f"{first}",
    )


def partners_saw(counted: bool) -> Statement:
    """What partners saw of one another; `counted`: whether they add up the support of each bit themselves."""
    counts = "They also know of each fingerprint bit how many partners support it. " if counted else ""
    return Statement(
        "Partners saw the sum of the updates, and the trunk.",
        f"They have to, to train on. {counts}And no aggregation keeps all partners but one, working together, from finding that one's "
        "update by subtraction.",
    )


def guarded(guard: int, supporters: int, shares: bool = False) -> Statement:
    """What a row guard of so many compounds, and a list of rows with so many supporters, keep at home, and what not.

    Args:
        guard, supporters: Of the run.
        shares: Whether some heads leave.
    """
    heads = "all heads but the shared ones" if shares else "the heads"
    others = "the other" if supporters == 2 else "the others together"
    return Statement(
        "The row guard limits what the sum says about single compounds.",
        f"Each partner sent only those rows of the first layer whose fingerprint bit {guard:,} or more of its training compounds hold, "
        f"and only rows that at least {supporters} partners support were in the sum; so no row belongs to a single compound, or to a "
        f"single partner, though of a row that {supporters} support {others} can find each one's. Other rows stayed at home, with {heads}. "
        f"That is all it limits: what {guard:,} or more compounds have in common stays visible, whoever holds the trunk can still test "
        "whether a substructure or a known compound is likely to be among the training data, and there is no differential privacy.",
    )


def shared_heads(run: SavedRun, secure: bool, least: int) -> Statement:
    """Which heads, of so many holders at least, left their partners for common endpoints, and who learned what by it."""
    common = run.facts.get("common_endpoints")
    numbers = common if isinstance(common, Mapping) else {}
    title = "Heads of common endpoints were shared."
    held = f"A head that {least} partners or more hold was in the sums."
    if numbers:
        fewest, most = numbers["fewest"], numbers["most"]
        between = plural(most, "partner") if fewest == most else f"{fewest:,} to {plural(most, 'partner')}"
        of = f"of {numbers['shared']:,} of the catalogue's {plural(numbers['endpoints'], 'endpoint')}"
        title = f"{plural(numbers['heads'], 'head')} {of} {was_or_were(numbers['heads'])} shared."
        held = f"Each was held by {between}." if numbers["heads"] else f"No head is held by {least} partners with labels enough."
    coordinator = (
        "The coordinator learned nothing of it but how many heads are shared, by the length of the messages."
        if secure
        else "The coordinator saw each partner's heads in the clear."
    )
    return Statement(
        title,
        f"{held} By them every partner learned how many partners have labels enough of each endpoint of the catalogue, and not who, also "
        "where these are too few to share anything; and of each shared head the mean, which tells what actives of the endpoint have in "
        f"common. All its holders but one, together, find that one's head. {coordinator}",
    )


def unguarded() -> Statement:
    """What leaves without a row guard."""
    return Statement(
        "The row guard was off.",
        "Rows of the first layer were trained and sent however few compounds hold their fingerprint bit. Those that one compound alone "
        "holds move alike in every step, in the sum too, and together they spell that compound out to whoever sees it.",
        loud=True,
    )


def noisy(run: SavedRun) -> Statement:
    """What record-level privacy bounds."""
    return Statement(
        "Noise bounds what the sum says about single compounds.",
        f"Each partner's updates, and its choice of rows, carry record-level differential privacy: epsilon "
        f"{run.setting('privacy.epsilon')} at most, at delta {run.setting('privacy.delta')}, for each compound of a partner in this run. "
        "For a compound that several partners hold, or that is used in several runs, epsilons add up. The model that a partner keeps is "
        "not covered.",
    )


def weakly_noisy() -> Statement:
    """That noise without a guarantee is none."""
    return Statement(
        "The noise of this run guarantees nothing.",
        "It has privacy.profile = reconstruction_noise, which makes it harder to reconstruct compounds and bounds nothing that could be "
        "stated; record_dp does.",
        loud=True,
    )


def nothing_in_common(guard: int, supporters: int) -> Statement:
    """That no row passed the guard, so that nothing of the first layer was shared."""
    return Statement(
        "Nothing of the first layer was learned together.",
        f"No row passed the row guard of {guard:,} at {supporters} partners, so every partner trained all rows at home, by itself: this "
        "federation is worth next to nothing. More compounds or shorter fingerprints (chemistry.bits) let rows pass; so does a smaller "
        "guard, for compounds that are no secret.",
        loud=True,
    )


def told_apart(run: SavedRun) -> list[Statement]:
    """That sums, which all partners hold, or single updates tell who was trained on."""
    found = {vector: most_told(run, vector) for vector in (SUM, OWN)}
    if not any(found.values()):
        return []
    text = (
        "Partners held compounds that they trained on against others of their own that they did not. Chance is 50 % of pairs told right. "
    )
    if found[SUM]:
        text += f"Sums, which all partners hold, tell {'; '.join(found[SUM])}. "
    if found[OWN]:
        text += f"Single updates, which all other partners together can work out, tell {'; '.join(found[OWN])}. "
    title = f"{'The sum tells' if found[SUM] else 'Updates tell'} who was trained on."
    return [Statement(title, text + "A larger privacy.row_guard may help, and more compounds a partner.", loud=True)]


def bare_rows(run: SavedRun) -> list[Statement]:
    """That rows had so few supporters that one partner saw another's update of them."""
    bare = {partner: max((row.bare for row in rows), default=0) for partner, rows in run.audits.items()}
    if not any(bare.values()):
        return []
    whose = "; ".join(f"{plural(count, 'row')} of {partner}" for partner, count in bare.items() if count)
    return [
        Statement(
            "Partners saw rows of single partners bare.",
            f"One other partner at most supports {whose}: whoever takes its own part off a sum has that partner's update of these. With "
            "privacy.least_supporters=3, the default, there is none.",
            loud=True,
        )
    ]


def named(run: SavedRun, guard: int) -> Statement:
    """What the partners' own attacks named: in sums, which all partners hold, and in single updates, which nobody else saw."""
    by_sum, by_own = most_named(run, SUM), most_named(run, OWN)
    if not by_sum and not by_own:
        return Statement(
            "The partners' self-audits named no compound.",
            "Each partner attacked its own updates, and every sum, with its own training compounds as the list of candidates. That is no "
            "proof: polyphony audit has more attacks.",
        )
    text = f"The row guard was {guard:,}. Partners attacked what they sent and what came home, with their training compounds as the list. "
    if by_sum:
        text += f"Sums, which all partners hold, name {'; '.join(by_sum)}. "
    if by_own:
        text += f"Single updates, which all other partners together can work out, name {'; '.join(by_own)}. "
    text += "Whoever has these compounds in a list finds that they were trained on. "
    text += f"The default is privacy.row_guard={ADVISED_GUARD}: " if guard < ADVISED_GUARD else "A larger privacy.row_guard may help: "
    title = f"{'The sum names' if by_sum else 'Updates name'} compounds that were trained on."
    return Statement(title, text + "do not run confidential compounds this way.", loud=True)


def most_named(run: SavedRun, vector: str) -> list[str]:
    """Of each partner that was named any compound in any one vector of this kind, how many at most, of how many, and who it is."""
    lines = []
    for partner, rows in run.audits.items():
        worst = max((row for row in rows if row.vector == vector), key=lambda row: row.identified, default=None)
        if worst is not None and worst.identified:
            lines.append(f"{worst.identified:,} of {plural(worst.compounds, 'training compound')} at {partner}")
    return lines


def most_told(run: SavedRun, vector: str) -> list[str]:
    """Of each partner of which a vector of this kind tells who was trained on, how much the clearest one tells."""
    lines = []
    for partner, rows in run.audits.items():
        worst = max((row for row in rows if row.vector == vector and row.tells_trained), key=lambda row: row.auc, default=None)
        if worst is not None:
            lines.append(f"{percent(worst.auc)} at {partner}")
    return lines
