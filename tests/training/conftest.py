"""Fixtures of the training tests."""

import pytest

from tests.training.runs import METHODS, config_of, train


@pytest.fixture(scope="session")
def straight(tiny_data, tmp_path_factory):
    """Uninterrupted trainings, each made once."""
    made = {}

    def get(name, *overrides):
        if (name, overrides) not in made:
            results = tmp_path_factory.mktemp("straight")
            made[name, overrides] = train(config_of(tiny_data, results, *METHODS[name], *overrides))
        return made[name, overrides]

    return get
