import inspect

import pytest

from mtl_bench.errors import ConfigError
from mtl_bench.methods import TaskForce
from mtl_bench.methods.taskforce.structure import (
    Structure,
    agents_cost,
    describe_raw,
    final_cost,
    require_joint,
    short,
)

DDPG = Structure("single", "joint", "global")


def test_cost_of_tiny_agents_by_hand():
    """T = 2, rows of 3, width 2, batches of 5, 10 transitions."""
    structure = Structure(hidden_dim=2, batch_size=5, buffer_size=10)
    cost = agents_cost(2, 3, structure)
    actor, critic = 3 * 2 + 2 * 2 + 2, 8 * 2 + 2 * 2 + 2
    assert cost.parameters == 2 * (actor + 5 + critic + 5)
    assert cost.memory == 20 * cost.parameters + 10 * (4 * (6 + 2 + 6) + 8)
    # actors: forward twice (target, own), gradient of the weights, back to the first hidden layer
    actors = 3 * actor + (actor - 6)
    # critics: forward three times, gradient once, twice back to it, once to an action
    critics = 4 * critic + 2 * (critic - 16) + 2
    assert cost.operations == 2 * (actor + 5 * (actors + critics))


def test_the_defaults_are_those_of_the_method():
    parameters = inspect.signature(TaskForce).parameters
    assert Structure()._asdict() == {key: parameters[key].default for key in Structure._fields}


def test_the_gram_matrix_makes_the_cost_independent_of_the_network():
    small, large = (agents_cost(3, p + 1, DDPG) for p in (10**6, 10**7))
    assert large.parameters / small.parameters == pytest.approx(10, rel=1e-2)
    assert final_cost(3, DDPG) == final_cost(3, Structure()) == agents_cost(3, 4, Structure())


def test_raw_gradients_of_mtan_are_prohibitive():
    """44.1 million shared parameters and 3 tasks, as in the paper's table 3."""
    ratios = agents_cost(3, 44_100_001, DDPG).over(final_cost(3, DDPG))
    assert [round(r / 1e3) for r in ratios] == [576, 8712, 427]
    line = describe_raw(3, 44_100_000, DDPG)
    assert "44.1M shared parameters" in line
    assert "16.9G parameters (x576k)" in line


def test_a_row_of_raw_gradients_is_one_loss_longer_than_the_gradient():
    cost = agents_cost(2, 4, DDPG)
    assert f"agents of {short(cost.parameters)} parameters" in describe_raw(2, 3, DDPG)
    assert short(agents_cost(2, 3, DDPG).parameters) != short(cost.parameters)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.234, "1.23"), (999.4, "999"), (999.5, "1k"), (2.59e6, "2.59M"), (3e19, "30E")],
)
def test_short_numbers(value, text):
    assert short(value) == text


def test_a_single_agent_needs_what_goes_with_it():
    require_joint(critic="joint", policy_input="global", reward_scope="shared")
    with pytest.raises(ConfigError, match=r"method\.agents=single with method\.critic=own: it"):
        require_joint(critic="own", policy_input="global", reward_scope="shared")
