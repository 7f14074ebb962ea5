"""The rules of a configuration: each is in the list, each has a say, and a configuration that keeps them all passes."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from fedapp.config import Config, Origin, check, load_config
from fedapp.config import rules as module
from fedapp.config.rules import RULES
from fedapp.errors import ConfigError

# What breaks this rule and none before it.
BREAKS = {
    "values_have_their_types": {"model": {"hidden": [[1]]}},
    "limits_hold": {"data": {"partners": 1}},
    "text_is_not_empty": {"runs": ""},
    "name_is_a_folders": {"name": "a/b"},
    "tables_are_folders": {"data": {"tables": 7}},
    "text_is_shown_as_it_is": {"data": {"tables": "a\u202eb"}},
    "tables_differ": {"data": {"tables": ["a", "b", "./a"], "partners": 3}},
    "each_partner_has_tables": {"data": {"tables": ["a", "b", "c"], "partners": 4}},
    "endpoints_can_be_dealt": {"data": {"deal": "endpoints"}},
    "folds_exist": {"evaluation": {"test_fold": 5}},
    "folds_differ": {"evaluation": {"test_fold": 1}},
    "there_are_tasks": {"tasks": {"kinds": []}},
    "trunk_has_layers": {"model": {"hidden": []}},
    "replies_can_suffice": {"federation": {"min_partners": 9}},
    "a_budget_is_measured": {"audit": {"epsilons": []}},
    "powers_of_two": {"privacy": {"range": 0.3}},
    "a_sum_hides_its_parts": {"data": {"partners": 2}},
    "rows_can_be_listed": {"privacy": {"least_supporters": 5}},
    "plain_has_no_group_key": {"aggregation": "plain", "federation": {"initial_trunk": "group_key"}},
    "noise_covers_what_leaves": {"privacy": {"profile": "reconstruction_noise"}, "tasks": {"catalogue": "groups"}},
    "record_dp_shows_no_metrics": {"privacy": {"profile": "record_dp"}, "federation": {"metrics_shown": ["loss"]}},
    "record_dp_weighs_all_alike": {"privacy": {"profile": "record_dp"}, "federation": {"largest_weight": 4}},
    "record_dp_has_noise_enough": {"privacy": {"profile": "record_dp", "noise_multiplier": 0.1}},
}


def changed(config: Config, values: dict[str, object]) -> Config:
    """A configuration with other values, a section's in a dictionary of its own."""
    for name, value in values.items():
        config = replace(config, **{name: replace(getattr(config, name), **value) if isinstance(value, dict) else value})
    return config


def test_every_rule_of_the_module_is_in_the_list() -> None:
    written = [
        function
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and function is not check
    ]
    assert set(written) == set(RULES)
    assert {rule.__name__ for rule in RULES} == set(BREAKS)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_refuses_what_breaks_it_and_says_where_that_came_from(rule: module.Rule) -> None:
    config = load_config()
    assert not list(rule(config))
    broken = changed(config, BREAKS[rule.__name__])
    fault = next(rule(broken))
    assert not [earlier for earlier in RULES[: RULES.index(rule)] if list(earlier(broken))], "this rule and none before it"
    with pytest.raises(ConfigError) as error:
        check(broken, Origin(Path("mine.yaml"), {fault.keys[-1]: f"{fault.keys[-1]}=x"}))
    assert (str(error.value), error.value.hint) == (f"command line, {fault.keys[-1]}=x: {fault.message}", fault.hint)
    with pytest.raises(ConfigError, match=r"^mine\.yaml: "):
        check(broken, Origin(Path("mine.yaml"), {}))
