"""The configuration of an experiment: types here, values and their meaning in `conf/default.yaml`."""

from dataclasses import dataclass
from math import frexp
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedapp.errors import ConfigError
from fedapp.yaml_file import read_whole

CONF = Path(__file__).resolve().parents[1] / "conf"


@dataclass(frozen=True)
class Data:
    tables: str
    partners: int


@dataclass(frozen=True)
class Chemistry:
    radius: int
    bits: int
    max_heavy_atoms: int
    folds: int
    fold_key_file: str | None


@dataclass(frozen=True)
class Tasks:
    group_by: str
    thresholds: list[float]
    min_per_class: int


@dataclass(frozen=True)
class Model:
    hidden: list[int]
    dropout: float


@dataclass(frozen=True)
class Training:
    batch_size: int
    local_epochs: int
    learning_rate: float
    last_learning_rate: float
    weight_decay: float


@dataclass(frozen=True)
class Federation:
    rounds: int
    server_learning_rate: float
    min_partners: int | None
    connect_timeout: int
    round_timeout: int
    metrics_shown: list[str]
    session_rounds: int
    initial_trunk: str
    largest_weight: int


@dataclass(frozen=True)
class Privacy:
    row_guard: int
    word_bits: int
    range: float
    profile: str
    clipping_norm: float
    noise_multiplier: float
    epsilon: float
    delta: float


@dataclass(frozen=True)
class Evaluation:
    test_fold: int
    validation_fold: int
    min_per_class: int


@dataclass(frozen=True)
class Audit:
    compounds: int
    trials: int
    undefended_trials: int
    epsilons: list[float]


@dataclass(frozen=True)
class Config:
    """One experiment. Every field is described, with its unit and range, in `conf/default.yaml`."""

    name: str
    seed: int
    runs: str
    aggregation: str
    data: Data
    chemistry: Chemistry
    tasks: Tasks
    model: Model
    training: Training
    federation: Federation
    privacy: Privacy
    evaluation: Evaluation
    audit: Audit

    def training_folds(self) -> list[int]:
        """All folds but the two that choose and judge."""
        held_out = (self.evaluation.validation_fold, self.evaluation.test_fold)
        return [fold for fold in range(self.chemistry.folds) if fold not in held_out]


RANGES: dict[str, tuple[float, float]] = {
    "data.partners": (2, 1000),
    "chemistry.radius": (0, 10),
    "chemistry.bits": (64, 1 << 22),
    "chemistry.max_heavy_atoms": (1, 1000),
    "chemistry.folds": (3, 100),
    "tasks.min_per_class": (1, 1e9),
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
}
METRICS = ("loss", "auc_pr")
AGGREGATIONS = ("secure", "plain")
NO_NOISE, RECORD_DP, RECONSTRUCTION_NOISE = PROFILES = ("none", "record_dp", "reconstruction_noise")
LEAST_NOISE = 0.3  # below it record_dp has no epsilon worth the name: above 100 after a few passes
INITIAL_TRUNKS = ("seed", "group_key")
WORD_BITS = (16, 32)
LEAST_SECURE = 3


def load_config(path: Path | None = None, overrides: tuple[str, ...] = ()) -> Config:
    """Read one experiment: `conf/default.yaml`, then the file at `path`, then `key=value` overrides.

    Args:
        path: A YAML file; None means `conf/demo.yaml`.
        overrides: Such as `federation.rounds=5`.
    Raises:
        ConfigError: Unreadable file, unknown key, wrong type or value out of range; the message names the key.
    """
    path = CONF / "demo.yaml" if path is None else path
    if not path.is_file():
        raise ConfigError(f"no configuration file {path}", f"the ones that ship are {', '.join(shipped())}")
    try:
        merged = OmegaConf.merge(
            OmegaConf.structured(Config),
            OmegaConf.load(CONF / "default.yaml"),
            OmegaConf.load(path),
            OmegaConf.from_dotlist(list(overrides)),
        )
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "conf/default.yaml lists every key with its meaning"
        if "Environment variable" in reason:
            reason, hint = (
                reason[reason.index("Environment variable") :].rstrip('"'),
                "export it, or give the key's value on the command line",
            )
        raise ConfigError(f"{path}: {reason}", hint) from error
    assert isinstance(config, Config)
    check(config, path)
    return config


def saved_config(path: Path) -> Config:
    """The experiment of a run, a kit or a site as `to_yaml` wrote it: every key is there, and nothing is filled in.

    Raises:
        ConfigError: A missing or unreadable file, a missing or unknown key, or a value out of range; the message names the key.
    """
    config = read_whole(
        path, Config, "bring it back from a backup; at a site `polyphony kit install` writes it anew, and without it a run starts anew"
    )
    check(config, path)
    return config


def check(config: Config, path: Path) -> None:
    """Refuse values outside their range.

    Raises:
        ConfigError: Naming the key and the range.
    """
    values = flatten(config)
    for key, (low, high) in RANGES.items():
        if values[key] is not None and not low <= values[key] <= high:
            raise ConfigError(f"{path}: {key} is {values[key]}, not within {low:g} to {high:g}")
    folds = config.evaluation
    for key, fold in (("test_fold", folds.test_fold), ("validation_fold", folds.validation_fold)):
        if not 0 <= fold < config.chemistry.folds:
            raise ConfigError(f"{path}: evaluation.{key} is {fold}, but folds are 0 to {config.chemistry.folds - 1}")
    if folds.test_fold == folds.validation_fold:
        raise ConfigError(
            f"{path}: evaluation.test_fold and validation_fold are both {folds.test_fold}",
            "models are selected on the one and judged on the other: choose two folds",
        )
    if not config.model.hidden or min(config.model.hidden) < 1:
        raise ConfigError(f"{path}: model.hidden is {config.model.hidden}", "give at least one layer width, such as [400]")
    if (config.federation.min_partners or 0) > config.data.partners:
        raise ConfigError(
            f"{path}: federation.min_partners is {config.federation.min_partners}, more than the {config.data.partners} of data.partners"
        )
    if unknown := set(config.federation.metrics_shown) - set(METRICS):
        raise ConfigError(f"{path}: federation.metrics_shown has {sorted(unknown)}", f"known are {list(METRICS)}")
    if not config.audit.epsilons or min(config.audit.epsilons) <= 0:
        raise ConfigError(f"{path}: audit.epsilons is {config.audit.epsilons}", "give at least one, all above 0, such as [1, 8]")
    choices: dict[str, tuple[Any, ...]] = {
        "aggregation": AGGREGATIONS,
        "federation.initial_trunk": INITIAL_TRUNKS,
        "privacy.word_bits": WORD_BITS,
        "privacy.profile": PROFILES,
    }
    for key, known in choices.items():
        if values[key] not in known:
            raise ConfigError(f"{path}: {key} is {values[key]!r}", f"known are {list(known)}")
    for key in ("federation.largest_weight", "privacy.range"):
        if frexp(values[key])[0] != 0.5:
            raise ConfigError(f"{path}: {key} is {values[key]}, not a power of two")
    if config.aggregation == "secure" and config.data.partners < LEAST_SECURE:
        raise ConfigError(
            f"{path}: data.partners is {config.data.partners}, and secure aggregation needs {LEAST_SECURE}",
            "with two, each knows the other's update from the sum",
        )
    if config.aggregation == "plain" and config.federation.initial_trunk == "group_key":
        raise ConfigError(f"{path}: federation.initial_trunk is group_key, and plain aggregation has no group key", "use seed")
    if config.privacy.profile == RECORD_DP:
        check_record_dp(config, path)


def check_record_dp(config: Config, path: Path) -> None:
    """Refuse what would leave a partner beside the guarantee of `privacy.profile=record_dp`.

    Raises:
        ConfigError: Naming the key.
    """
    if config.federation.metrics_shown:
        raise ConfigError(f"{path}: federation.metrics_shown is {config.federation.metrics_shown}, and metrics get no noise", "show none")
    if config.federation.largest_weight != 1:
        raise ConfigError(
            f"{path}: federation.largest_weight is {config.federation.largest_weight}, and weights tell the number of labels", "use 1"
        )
    if config.privacy.noise_multiplier < LEAST_NOISE:
        raise ConfigError(
            f"{path}: privacy.noise_multiplier is {config.privacy.noise_multiplier}, too little for privacy.profile=record_dp",
            f"use {LEAST_NOISE} or more, or privacy.profile=reconstruction_noise, which guarantees nothing",
        )


def to_yaml(config: Config) -> str:
    """The effective configuration as YAML that `saved_config` reads back."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def shipped() -> list[str]:
    """The experiments that ship."""
    return sorted(f"conf/{path.name}" for path in CONF.glob("*.yaml") if path.name != "default.yaml")


def flatten(config: Config) -> dict[str, Any]:
    """Dotted key to value."""
    flat: dict[str, Any] = {}
    for key, value in vars(config).items():
        if hasattr(value, "__dataclass_fields__"):
            flat |= {f"{key}.{inner}": held for inner, held in vars(value).items()}
        else:
            flat[key] = value
    return flat
