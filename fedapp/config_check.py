"""What the values of a configuration may be; an error names the key and the place that set it."""

import os
from dataclasses import dataclass
from math import frexp
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedapp.errors import ConfigError
from fedapp.evaluation.arms import AUC_PR

if TYPE_CHECKING:
    from fedapp.config import Config

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    "data.partners": (2, 1000),
    "chemistry.radius": (0, 10),
    "chemistry.bits": (64, 1 << 22),
    "chemistry.max_heavy_atoms": (1, 1000),
    "chemistry.folds": (3, 100),
    "tasks.thresholds": (0, 16),
    "tasks.min_per_class": (1, 1e9),
    "model.hidden": (1, 1 << 20),
    "model.dropout": (0, 0.99),
    "training.batch_size": (1, 1 << 20),
    "training.local_epochs": (1, 1000),
    "training.learning_rate": (1e-9, 10),
    "training.last_learning_rate": (0, 10),
    "training.weight_decay": (0, 10),
    "federation.rounds": (1, 100_000),
    "federation.server_learning_rate": (1e-6, 10),
    "federation.min_partners": (2, 1000),
    "federation.connect_timeout": (1, 1 << 31),
    "federation.exchange_timeout": (1, 1 << 31),
    "federation.round_timeout": (1, 1 << 31),
    "federation.session_rounds": (1, 1 << 31),
    "federation.largest_weight": (1, 256),
    "privacy.row_guard": (0, 1 << 31),
    "privacy.range": (2**-16, 16),
    "privacy.clipping_norm": (1e-6, 1e6),
    "privacy.noise_multiplier": (1e-4, 1e4),
    "privacy.epsilon": (1e-3, 1e6),
    "privacy.delta": (1e-30, 1e-2),
    "evaluation.min_per_class": (1, 1e9),
    "audit.compounds": (4, 1e9),
    "audit.trials": (4, 10_000),
    "audit.undefended_trials": (3, 10_000),
    "audit.epsilons": (1e-3, 1e6),
}
METRICS = ("loss", AUC_PR)
AGGREGATIONS = ("secure", "plain")
NO_NOISE, RECORD_DP, RECONSTRUCTION_NOISE = PROFILES = ("none", "record_dp", "reconstruction_noise")
LEAST_NOISE = 0.3  # below it record_dp has no epsilon worth the name: above 100 after a few passes
INITIAL_TRUNKS = ("seed", "group_key")
WORD_BITS = (16, 32)
LEAST_SECURE = 3


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


def check(config: "Config", origin: Origin) -> None:  # noqa: C901 - one rule after the other, none of which knows another
    """Refuse values outside their range.

    Raises:
        ConfigError: Naming the key, the place that set it, and the range.
    """
    values = flatten(config)
    for key, (low, high) in RANGES.items():
        for value in values[key] if isinstance(values[key], list) else [values[key]]:
            if value is not None and not low <= value <= high:
                raise ConfigError(f"{origin.of(key)}: {key} is {values[key]}, not within {low:g} to {high:g}")
    check_text(config, origin)
    check_tables(config, origin)
    folds = config.evaluation
    for key, fold in (("test_fold", folds.test_fold), ("validation_fold", folds.validation_fold)):
        if not 0 <= fold < config.chemistry.folds:
            where = origin.of(f"evaluation.{key}", "chemistry.folds")
            raise ConfigError(f"{where}: evaluation.{key} is {fold}, but folds are 0 to {config.chemistry.folds - 1}")
    if folds.test_fold == folds.validation_fold:
        raise ConfigError(
            f"{origin.of('evaluation.test_fold', 'evaluation.validation_fold')}: "
            f"evaluation.test_fold and validation_fold are both {folds.test_fold}",
            "models are selected on the one and judged on the other: choose two folds",
        )
    if not config.model.hidden:
        raise ConfigError(f"{origin.of('model.hidden')}: model.hidden is {config.model.hidden}", "give at least one width, such as [400]")
    if (config.federation.min_partners or 0) > config.data.partners:
        raise ConfigError(
            f"{origin.of('federation.min_partners', 'data.partners')}: federation.min_partners is {config.federation.min_partners}, "
            f"more than the {config.data.partners} of data.partners"
        )
    if not config.audit.epsilons:
        raise ConfigError(f"{origin.of('audit.epsilons')}: audit.epsilons is empty", "give at least one, such as [1, 8]")
    check_choices(config, origin)
    if config.privacy.profile == RECORD_DP:
        check_record_dp(config, origin)


def check_text(config: "Config", origin: Origin) -> None:
    """Refuse an experiment's name that names a folder elsewhere, and empty text.

    Raises:
        ConfigError: Naming the key.
    """
    values = flatten(config)
    for key, value in values.items():
        if value == "":
            raise ConfigError(f"{origin.of(key)}: {key} is empty")
    if Path(config.name).name != config.name or config.name.startswith(".") or not config.name.isprintable():
        raise ConfigError(f"{origin.of('name')}: name is {config.name!r}", "run folders are called after it: use letters and digits")


def check_tables(config: "Config", origin: Origin) -> None:
    """Refuse tables that are neither one folder nor one folder a partner.

    Raises:
        ConfigError: Naming the key.
    """
    tables, where = config.data.tables, origin.of("data.tables", "data.partners")
    if isinstance(tables, str):
        return
    if not isinstance(tables, list) or not all(isinstance(each, str) and each for each in tables):
        raise ConfigError(f"{where}: data.tables is {tables!r}", "give a folder, or a list of folders such as [alpha, beta, gamma]")
    if len(set(map(os.path.realpath, tables))) < len(tables):
        raise ConfigError(f"{where}: data.tables names one folder twice: {tables}", "each folder is another partner's")
    if len(tables) != config.data.partners:
        raise ConfigError(
            f"{where}: data.tables names {len(tables)} folders, and data.partners is {config.data.partners}",
            "a list has a folder for each partner: leave out data.partners",
        )


def check_choices(config: "Config", origin: Origin) -> None:
    """Refuse words that mean nothing, and values that do not go together.

    Raises:
        ConfigError: Naming the key.
    """
    values = flatten(config)
    if unknown := set(config.federation.metrics_shown) - set(METRICS):
        where = origin.of("federation.metrics_shown")
        raise ConfigError(f"{where}: federation.metrics_shown has {sorted(unknown)}", f"known are {list(METRICS)}")
    choices: dict[str, tuple[Any, ...]] = {
        "aggregation": AGGREGATIONS,
        "federation.initial_trunk": INITIAL_TRUNKS,
        "privacy.word_bits": WORD_BITS,
        "privacy.profile": PROFILES,
    }
    for key, known in choices.items():
        if values[key] not in known:
            raise ConfigError(f"{origin.of(key)}: {key} is {values[key]!r}", f"known are {list(known)}")
    for key in ("federation.largest_weight", "privacy.range"):
        if frexp(values[key])[0] != 0.5:
            raise ConfigError(f"{origin.of(key)}: {key} is {values[key]}, not a power of two")
    if config.aggregation == "secure" and config.data.partners < LEAST_SECURE:
        raise ConfigError(
            f"{origin.of('data.partners', 'aggregation')}: data.partners is {config.data.partners}, "
            f"and secure aggregation needs {LEAST_SECURE}",
            "with two, each knows the other's update from the sum",
        )
    if config.aggregation == "plain" and config.federation.initial_trunk == "group_key":
        where = origin.of("federation.initial_trunk", "aggregation")
        raise ConfigError(f"{where}: federation.initial_trunk is group_key, and plain aggregation has no group key", "use seed")


def check_record_dp(config: "Config", origin: Origin) -> None:
    """Refuse what would leave a partner beside the guarantee of `privacy.profile=record_dp`.

    Raises:
        ConfigError: Naming the key.
    """
    shown, weight, noise = config.federation.metrics_shown, config.federation.largest_weight, config.privacy.noise_multiplier
    if shown:
        where = origin.of("federation.metrics_shown", "privacy.profile")
        raise ConfigError(f"{where}: federation.metrics_shown is {shown}, and metrics get no noise", "show none")
    if weight != 1:
        where = origin.of("federation.largest_weight", "privacy.profile")
        raise ConfigError(f"{where}: federation.largest_weight is {weight}, and weights tell the number of labels", "use 1")
    if noise < LEAST_NOISE:
        where = origin.of("privacy.noise_multiplier", "privacy.profile")
        raise ConfigError(
            f"{where}: privacy.noise_multiplier is {noise}, too little for privacy.profile=record_dp",
            f"use {LEAST_NOISE} or more, or privacy.profile=reconstruction_noise, which guarantees nothing",
        )


def flatten(config: "Config") -> dict[str, Any]:
    """Dotted key to value."""
    flat: dict[str, Any] = {}
    for key, value in vars(config).items():
        if hasattr(value, "__dataclass_fields__"):
            flat |= {f"{key}.{inner}": held for inner, held in vars(value).items()}
        else:
            flat[key] = value
    return flat
