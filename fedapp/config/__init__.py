"""The configuration of an experiment: `options` declared once, `rules` between them, and `reading` files and the command line."""

from fedapp.config.options import (
    ENDPOINTS,
    METRICS,
    NO_NOISE,
    P_THRESHOLDS,
    RECONSTRUCTION_NOISE,
    RECORD_DP,
    Chemistry,
    Config,
    Data,
    Tasks,
    Training,
    flatten,
)
from fedapp.config.reading import CATALOGUE, CONF, changed, load_config, saved_config, shipped, to_yaml, with_catalogue
from fedapp.config.rules import LEAST_NOISE, LEAST_SECURE, Origin, check

__all__ = [
    "CATALOGUE",
    "CONF",
    "ENDPOINTS",
    "LEAST_NOISE",
    "LEAST_SECURE",
    "METRICS",
    "NO_NOISE",
    "P_THRESHOLDS",
    "RECONSTRUCTION_NOISE",
    "RECORD_DP",
    "Chemistry",
    "Config",
    "Data",
    "Origin",
    "Tasks",
    "Training",
    "changed",
    "check",
    "flatten",
    "load_config",
    "saved_config",
    "shipped",
    "to_yaml",
    "with_catalogue",
]
