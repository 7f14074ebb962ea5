"""What the values of a configuration may be: the limits of each option, and one small rule for whatever hangs on more than one number."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import frexp
from pathlib import Path

from fedapp.config.allowed import Fault
from fedapp.config.options import ENDPOINTS, NO_NOISE, OPTIONS, RECORD_DP, Config, flatten
from fedapp.errors import ConfigError
from fedapp.evaluation.arms import KINDS
from fedapp.storage.yaml_file import SHOWN, in_words, is_a, shows

LEAST_NOISE = 0.3  # below it record_dp has no epsilon worth the name: above 100 after a few passes
MOST_LAYERS = 128  # of the trunk; the layout of more may not fit into a session's parameters (`messages.LONGEST_LAYOUT`)
LEAST_SECURE = 3  # partners: of two, each knows the other's update from the sum
Rule = Callable[[Config], Iterator[Fault]]
POWERS_OF_TWO = ("federation.largest_weight", "privacy.range")


@dataclass(frozen=True)
class Origin:
    """Where the values of a configuration came from, so that an error can say where to put it right.

    Attributes:
        path: The experiment's file.
        overrides: Key to the words of the command line that set it.
    """

    path: Path
    overrides: dict[str, str]

    def of(self, *keys: str) -> str:
        """The place that set one of these keys: the command line if it set any, else the file."""
        typed = [words for given, words in self.overrides.items() if any(key == given or key.startswith(f"{given}.") for key in keys)]
        return f"command line, {' '.join(typed)}" if typed else str(self.path)


def check(config: Config, origin: Origin) -> None:
    """Refuse values outside their limits, and values that do not go together.

    Raises:
        ConfigError: Naming the key, the place that set it, and what it may be; of the first rule that does not hold.
    """
    for rule in RULES:
        for fault in rule(config):
            raise ConfigError(f"{origin.of(*fault.keys)}: {fault.message}", fault.hint)


def values_have_their_types(config: Config) -> Iterator[Fault]:
    """Each value is of its option's type; OmegaConf looks no deeper than a list's items, and lets lists among them pass."""
    for key, value in flatten(config).items():
        if not is_a(value, OPTIONS[key].kind):
            yield Fault((key,), f"{key} is {value!r:.{SHOWN}}, not {in_words(OPTIONS[key].kind)}")


def limits_hold(config: Config) -> Iterator[Fault]:
    """Each value is within what its option's declaration says."""
    for key, value in flatten(config).items():
        if limits := OPTIONS[key].limits:
            yield from limits.faults(key, value)


def text_is_not_empty(config: Config) -> Iterator[Fault]:
    """Empty text names nothing."""
    for key, value in flatten(config).items():
        if value == "":
            yield Fault((key,), f"{key} is empty")


def text_is_shown_as_it_is(config: Config) -> Iterator[Fault]:
    """Text has no characters that a terminal obeys: a kit's configuration is another's, and is printed."""
    for key, value in flatten(config).items():
        if not shows(value):
            yield Fault((key,), f"{key} is {value!a:.{SHOWN}}, which a terminal would not show as it is")


def name_is_a_folders(config: Config) -> Iterator[Fault]:
    """The experiment's name names no folder elsewhere, and none that is hidden."""
    if Path(config.name).name != config.name or config.name.startswith(".") or not config.name.isprintable():
        yield Fault(("name",), f"name is {config.name!r}", "run folders are called after it: use letters and digits")


def tables_are_folders(config: Config) -> Iterator[Fault]:
    """Tables are one folder or a list of folders."""
    tables = config.data.tables
    if not isinstance(tables, str) and not (isinstance(tables, list) and all(isinstance(folder, str) and folder for folder in tables)):
        hint = "give a folder, or a list of folders such as [alpha, beta, gamma]"
        yield Fault(("data.tables", "data.partners"), f"data.tables is {tables!r}", hint)


def tables_differ(config: Config) -> Iterator[Fault]:
    """No two partners have the same folder, by whatever name."""
    tables = config.data.tables
    if isinstance(tables, list) and len(set(map(os.path.realpath, tables))) < len(tables):
        keys = ("data.tables", "data.partners")
        yield Fault(keys, f"data.tables names one folder twice: {tables}", "each folder is another partner's")


def each_partner_has_tables(config: Config) -> Iterator[Fault]:
    """A list of tables has a folder for each partner."""
    tables, partners = config.data.tables, config.data.partners
    if isinstance(tables, list) and len(tables) != partners:
        yield Fault(
            ("data.tables", "data.partners"),
            f"data.tables names {len(tables)} folders, and data.partners is {partners}",
            "a list has a folder for each partner: leave out data.partners",
        )


def endpoints_can_be_dealt(config: Config) -> Iterator[Fault]:
    """Endpoints are dealt out of one folder of tables, to partners that there are."""
    data = config.data
    if data.deal == ENDPOINTS and (isinstance(data.tables, list) or data.tables == "demo"):
        hint = "data.tables names the folder whose endpoints are dealt out; what partners bring themselves is theirs"
        yield Fault(("data.deal", "data.tables"), f"data.deal is endpoints, and data.tables is {data.tables!r:.{SHOWN}}", hint)
    if data.deal == ENDPOINTS and data.holders > data.partners:
        yield Fault(("data.holders", "data.partners"), f"data.holders is {data.holders}, more than the {data.partners} of data.partners")


def folds_exist(config: Config) -> Iterator[Fault]:
    """The folds that judge and choose are among those that the chemistry makes."""
    folds = config.chemistry.folds
    for name in ("test_fold", "validation_fold"):
        fold = getattr(config.evaluation, name)
        if fold is not None and not 0 <= fold < folds:
            key = f"evaluation.{name}"
            yield Fault((key, "chemistry.folds"), f"{key} is {fold}, but folds are 0 to {folds - 1}")


def folds_differ(config: Config) -> Iterator[Fault]:
    """What chooses does not judge."""
    folds = config.evaluation
    if folds.test_fold == folds.validation_fold:
        yield Fault(
            ("evaluation.test_fold", "evaluation.validation_fold"),
            f"evaluation.test_fold and validation_fold are both {folds.test_fold}",
            "models are selected on the one and judged on the other: choose two folds",
        )


def there_are_tasks(config: Config) -> Iterator[Fault]:
    """Some kind of task is made."""
    if not config.tasks.kinds:
        yield Fault(("tasks.kinds",), "tasks.kinds is empty", f"give at least one of {', '.join(KINDS)}")


def trunk_has_layers(config: Config) -> Iterator[Fault]:
    """There is something to share."""
    if not config.model.hidden:
        yield Fault(("model.hidden",), f"model.hidden is {config.model.hidden}", "give at least one width, such as [400]")
    if (layers := len(config.model.hidden)) > MOST_LAYERS:
        yield Fault(("model.hidden",), f"model.hidden has {layers} widths", f"give at most {MOST_LAYERS}")


def replies_can_suffice(config: Config) -> Iterator[Fault]:
    """No round needs more partners than there are."""
    least, partners = config.federation.min_partners, config.data.partners
    if (least or 0) > partners:
        keys = ("federation.min_partners", "data.partners")
        yield Fault(keys, f"federation.min_partners is {least}, more than the {partners} of data.partners")


def a_budget_is_measured(config: Config) -> Iterator[Fault]:
    """`polyphony privacy` has something to measure."""
    if not config.audit.epsilons:
        yield Fault(("audit.epsilons",), "audit.epsilons is empty", "give at least one, such as [1, 8]")


def powers_of_two(config: Config) -> Iterator[Fault]:
    """Partners scale by these without rounding."""
    values = flatten(config)
    for key in POWERS_OF_TWO:
        if frexp(values[key])[0] != 0.5:
            yield Fault((key,), f"{key} is {values[key]}, not a power of two")


def a_sum_hides_its_parts(config: Config) -> Iterator[Fault]:
    """Secure aggregation has partners enough that a sum tells none of the others'."""
    if config.aggregation == "secure" and config.data.partners < LEAST_SECURE:
        yield Fault(
            ("data.partners", "aggregation"),
            f"data.partners is {config.data.partners}, and secure aggregation needs {LEAST_SECURE}",
            "with two, each knows the other's update from the sum",
        )


def rows_can_be_listed(config: Config) -> Iterator[Fault]:
    """No row needs more supporters than there are partners."""
    least, partners = config.privacy.least_supporters, config.data.partners
    if config.privacy.row_guard > 1 and least > partners:
        yield Fault(
            ("privacy.least_supporters", "data.partners"),
            f"privacy.least_supporters is {least}, more than the {partners} of data.partners: no row would leave",
            "take more partners, or a smaller privacy.least_supporters: with 2, each finds the other's row by subtraction",
        )


def plain_has_no_group_key(config: Config) -> Iterator[Fault]:
    """Only partners that agree on keys have a common secret."""
    if config.aggregation == "plain" and config.federation.initial_trunk == "group_key":
        keys = ("federation.initial_trunk", "aggregation")
        yield Fault(keys, "federation.initial_trunk is group_key, and plain aggregation has no group key", "use seed")


def noise_covers_what_leaves(config: Config) -> Iterator[Fault]:
    """Shared heads leave, and what noise they would need is not accounted for."""
    if config.privacy.profile != NO_NOISE and config.tasks.catalogue is not None:
        yield Fault(
            ("tasks.catalogue", "privacy.profile"),
            f"privacy.profile is {config.privacy.profile}, and the shared heads of tasks.catalogue would get no noise",
            f"use tasks.catalogue=null, or privacy.profile={NO_NOISE}",
        )


def record_dp_shows_no_metrics(config: Config) -> Iterator[Fault]:
    """Nothing leaves beside the guarantee: metrics carry no noise."""
    if config.privacy.profile == RECORD_DP and (shown := config.federation.metrics_shown):
        keys = ("federation.metrics_shown", "privacy.profile")
        yield Fault(keys, f"federation.metrics_shown is {shown}, and metrics get no noise", "show none")


def record_dp_weighs_all_alike(config: Config) -> Iterator[Fault]:
    """Nothing leaves beside the guarantee: a weight is a count of labels."""
    if config.privacy.profile == RECORD_DP and (weight := config.federation.largest_weight) != 1:
        keys = ("federation.largest_weight", "privacy.profile")
        yield Fault(keys, f"federation.largest_weight is {weight}, and weights tell the number of labels", "use 1")


def record_dp_has_noise_enough(config: Config) -> Iterator[Fault]:
    """The guarantee is worth its name."""
    if config.privacy.profile == RECORD_DP and (noise := config.privacy.noise_multiplier) < LEAST_NOISE:
        yield Fault(
            ("privacy.noise_multiplier", "privacy.profile"),
            f"privacy.noise_multiplier is {noise}, too little for privacy.profile=record_dp",
            f"use {LEAST_NOISE} or more, or privacy.profile=reconstruction_noise, which guarantees nothing",
        )


# The first holds before any other looks at a value.
RULES: tuple[Rule, ...] = (
    values_have_their_types,
    limits_hold,
    text_is_not_empty,
    name_is_a_folders,
    tables_are_folders,
    text_is_shown_as_it_is,
    tables_differ,
    each_partner_has_tables,
    endpoints_can_be_dealt,
    folds_exist,
    folds_differ,
    there_are_tasks,
    trunk_has_layers,
    replies_can_suffice,
    a_budget_is_measured,
    powers_of_two,
    a_sum_hides_its_parts,
    rows_can_be_listed,
    plain_has_no_group_key,
    noise_covers_what_leaves,
    record_dp_shows_no_metrics,
    record_dp_weighs_all_alike,
    record_dp_has_noise_enough,
)
