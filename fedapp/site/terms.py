"""Under which terms a partner takes part: what its policy and its experiment together would let leave a partner, in plain words.

A policy says what may be asked of a partner, and the experiment what the partner does by itself. A protection holds only as far as both
have it, so of each the weaker of the two counts.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fedapp.config import NO_NOISE, RECORD_DP, Config
from fedapp.consortium.policy_file import PolicyFile
from fedapp.consortium.promises import colluders
from fedapp.wording import percent, plural
from strategies.secagg.roster import Roster

SECURE = "secure"


@dataclass(frozen=True)
class Terms:
    """What a partner would accept and do.

    Attributes:
        consortium, partners: Of the roster.
        aggregation: As in the configuration.
        least_partners: Fewest partners in a sum.
        colluders: Partners with whom the coordinator still learns no single update, by the roster's threshold.
        largest_weight: Of a partner in the mean; beyond 1 it tells of labels.
        initial_trunk: As in `federation` in the configuration.
        endpoint_labels: Training compounds behind our part in each shared head; None without a catalogue of common endpoints.
        row_guard: Training compounds behind each row that is sent; 0 or 1 is off.
        least_supporters: Partners behind each row that is sent.
        profile, epsilon, delta: Of `privacy` in the configuration; epsilon and delta count under record-level privacy alone.
        rounds: Most rounds.
        survivor_lists, sessions, cohort_changes: As in `strategies.secagg.repetition.RepetitionLimits`.
        metrics_shown: Metrics whose mean the coordinator learns.
        most_identified, least_compounds: As in `strategies.update.limits.LeakLimits`.
        word_bits: Word sizes that it sends.
        width: Of the first layer. With fewer compounds than that, an update can be solved for them.
    """

    consortium: str
    partners: int
    aggregation: str
    least_partners: int
    colluders: int
    largest_weight: int
    initial_trunk: str
    endpoint_labels: int | None
    row_guard: int
    least_supporters: int
    profile: str
    epsilon: float
    delta: float
    rounds: int
    survivor_lists: int
    sessions: int
    cohort_changes: int
    metrics_shown: tuple[str, ...]
    most_identified: float
    least_compounds: int
    word_bits: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, config: Config, policy: PolicyFile, roster: Roster) -> "Terms":
        """The terms of a site's files, or of a kit's."""
        return cls(
            consortium=roster.consortium,
            partners=len(roster.members),
            aggregation=config.aggregation,
            least_partners=max(roster.least(), policy.least_survivors),
            colluders=colluders(roster),
            largest_weight=config.federation.largest_weight,
            initial_trunk=config.federation.initial_trunk,
            endpoint_labels=None if config.tasks.catalogue is None else config.privacy.endpoint_labels,
            row_guard=min(config.privacy.row_guard, policy.row_guard),
            least_supporters=min(config.privacy.least_supporters, policy.least_supporters),
            profile=config.privacy.profile,
            epsilon=config.privacy.epsilon,
            delta=config.privacy.delta,
            rounds=policy.rounds,
            survivor_lists=policy.survivor_lists,
            sessions=policy.sessions,
            cohort_changes=policy.cohort_changes,
            metrics_shown=tuple(sorted({*config.federation.metrics_shown, *policy.metrics_shown})),
            most_identified=policy.most_identified,
            least_compounds=policy.least_compounds,
            word_bits=tuple(policy.word_bits),
            width=config.model.hidden[0],
        )

    @property
    def noisy(self) -> bool:
        """Whether noise with a guarantee decides what is sent, instead of row guard and self-audit."""
        return self.profile == RECORD_DP


def in_words(terms: Terms) -> dict[str, str]:
    """What each of the terms means: its name, and a sentence about what leaves a partner."""
    return {name: sentence(terms) for name, sentence in SENTENCES.items()}


def too_few_supporters(terms: Terms) -> str:
    """How as many partners as may work together by the roster's threshold would find a row of ours; empty if they would not."""
    least, needed = terms.least_supporters, terms.colluders + 2
    if terms.row_guard <= 1 or least >= needed:
        return ""
    return (
        f"rows of {least} supporters are sent, of whom {least - 1} together find the last one's, and {terms.colluders} partners may work "
        f"together by the roster's threshold: privacy.least_supporters={needed} holds against them"
    )


def differences(before: Terms, after: Terms) -> dict[str, str]:
    """Those of the terms that differ, and how: `from …, to …`."""
    old, new = in_words(before), in_words(after)
    return {name: f"from “{old[name]}” to “{new[name]}”" for name in new if old[name] != new[name]}


def _aggregation(terms: Terms) -> str:
    if terms.aggregation == SECURE:
        return "updates leave under masks, and the coordinator can read none of them"
    return "none: updates leave in the clear, for the coordinator to read"


def _sums(terms: Terms) -> str:
    line = f"of {terms.least_partners} or more of the {terms.partners} partners of {terms.consortium}"
    some = f"no more than {terms.colluders:,}" if terms.colluders else "none"
    return f"{line}; {some} of them may work with the coordinator, or single updates are open"


def _weights(terms: Terms) -> str:
    if terms.largest_weight == 1:
        return "all partners count alike"
    return f"up to {terms.largest_weight} by the number of our labels: partners learn the sum of the weights"


def _first_trunk(terms: Terms) -> str:
    if terms.initial_trunk == "seed":
        return "drawn from the seed in config.yaml: known to whoever has that, the maker of the kit too"
    return "drawn from the partners' common secret"


def _endpoints(terms: Terms) -> str:
    if terms.endpoint_labels is None:
        return "none in common: all heads stay at home"
    head = f"a head of {terms.endpoint_labels:,} or more training compounds"
    return f"of a task that we declare to be one of catalogue.yaml, and of no other, {head} is averaged with other partners'"


def _row_guard(terms: Terms) -> str:
    if terms.noisy:
        return "by noise: rows are chosen so that no single compound decides on one"
    if terms.row_guard <= 1:
        return "off: every row is sent, those too that spell out a single compound"
    return f"{terms.row_guard:,}: a row is sent if so many of our training compounds hold its bit, and others stay at home"


def _supporters(terms: Terms) -> str:
    if terms.row_guard <= 1:
        return "every row is sent, without a row guard"
    together = "one other partner" if terms.least_supporters == 2 else f"no fewer than {terms.least_supporters - 1} other partners together"
    return f"{terms.least_supporters:,}: a row is sent if so many partners hold it, so that {together} can take their own off and see ours"


def _noise(terms: Terms) -> str:
    if terms.noisy:
        return f"record-level privacy, to epsilon {terms.epsilon:g} at delta {terms.delta:g}; then this site trains no further"
    return "none" if terms.profile == NO_NOISE else "a little, which guarantees nothing"


def _rounds(terms: Terms) -> str:
    return f"{terms.rounds:,} at most"


def _repetition(terms: Terms) -> str:
    lists, sessions = plural(terms.survivor_lists, "survivor list"), plural(terms.sessions, "session")
    changes = plural(terms.cohort_changes, "cohort change")
    return f"we sign {lists} of a round, join {sessions} and accept {changes} at most; then a person decides"


def _metrics(terms: Terms) -> str:
    if not terms.metrics_shown:
        return "none leaves"
    return f"the coordinator learns the partners' mean of {' and '.join(terms.metrics_shown)} in every round"


def _self_audit(terms: Terms) -> str:
    if terms.noisy:
        return "tells, and refuses nothing"
    refusals = []
    if terms.most_identified < 1:
        refusals.append(f"names more than {percent(terms.most_identified)} of our training compounds")
    if terms.least_compounds:
        refusals.append(f"is of fewer than {terms.least_compounds:,} training compounds")
    if not refusals:
        return "refuses nothing, whatever an update tells of our compounds"
    return f"an update stays at home if it {' or '.join(refusals)}"


def _words(terms: Terms) -> str:
    return f"{' or '.join(map(str, terms.word_bits))} bits"


SENTENCES: dict[str, Callable[[Terms], str]] = {
    "aggregation": _aggregation,
    "sums": _sums,
    "weights": _weights,
    "first trunk": _first_trunk,
    "endpoints": _endpoints,
    "row guard": _row_guard,
    "supporters": _supporters,
    "noise": _noise,
    "rounds": _rounds,
    "repetition": _repetition,
    "metrics": _metrics,
    "self-audit": _self_audit,
    "words": _words,
}
