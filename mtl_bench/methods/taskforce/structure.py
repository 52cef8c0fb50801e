"""How the agents are built, and what they cost, computed instead of run. Needs no torch.

The raw observation {g | L}, whose rows hold a task gradient each, can't be run for any network of
interest: its width is that of the shared parameters. This is what it would cost.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from mtl_bench.errors import ConfigError

FLOAT = 4
"""Bytes of a float32."""

COPIES = 5
"""Of every parameter: online, target, gradient, and Adam's two moments."""


class Structure(NamedTuple):
    """What decides the agents' sizes; the fields are those of the method ``taskforce``."""

    agents: Literal["single", "multi"] = "multi"
    critic: Literal["own", "joint"] = "joint"
    policy_input: Literal["global", "local"] = "local"
    hidden_dim: int = 64
    batch_size: int = 64
    buffer_size: int = 100_000


def require_joint(**fields: str) -> None:
    """Refuse what a single agent can't have: it sees, judges and is rewarded for everything.

    Raises:
        ConfigError: a field is not what a single agent needs.
    """
    needed = {"critic": "joint", "policy_input": "global", "reward_scope": "shared"}
    if wrong := [f"method.{key}={value}" for key, value in fields.items() if value != needed[key]]:
        right = ", ".join(f"method.{key}={value}" for key, value in needed.items())
        raise ConfigError(f"method.agents=single with {', '.join(wrong)}: it needs {right}")


class AgentCost(NamedTuple):
    """What agents need.

    Args:
        parameters: of all actors and critics, without their target networks.
        memory: bytes of the parameters in all their copies and of the full replay buffer.
        operations: multiplications of the matrix products of one iteration: the actions and one
            update.
    """

    parameters: int
    memory: int
    operations: int

    def over(self, other: AgentCost) -> tuple[float, ...]:
        """Return the ratios of parameters, memory and operations to those of ``other``."""
        return tuple(own / its for own, its in zip(self, other, strict=True))


def agents_cost(num_tasks: int, row: int, structure: Structure) -> AgentCost:
    """Return the cost of agents whose observation has ``row`` numbers per task.

    Args:
        num_tasks: T.
        row: T + 1 with the Gram matrix, P + 1 with the raw gradients of P shared parameters.
        structure: of the agents.
    """
    count = num_tasks if structure.agents == "multi" else 1
    own = num_tasks // count
    seen = row if structure.policy_input == "local" else num_tasks * row
    judged = num_tasks * row + (num_tasks if structure.critic == "joint" else own)
    hidden, batch = structure.hidden_dim, structure.batch_size
    actor_first, actor_rest = seen * hidden, hidden * hidden + hidden * own
    critic_first, critic_rest = judged * hidden, hidden * hidden + hidden
    actor, critic = actor_first + actor_rest, critic_first + critic_rest
    biases = 2 * hidden + own + 2 * hidden + 1
    parameters = count * (actor + critic + biases)
    numbers = 2 * num_tasks * row + num_tasks  # two observations, the actions
    replay = structure.buffer_size * (FLOAT * numbers + 8)  # and the reward in float64
    critic_update = actor + 3 * critic + critic_rest  # targets, forward and backward pass
    actor_update = 2 * actor + actor_rest + critic + critic_rest + hidden * own
    operations = count * (actor + batch * (critic_update + actor_update))
    return AgentCost(parameters, FLOAT * COPIES * parameters + replay, operations)


def final_cost(num_tasks: int, structure: Structure) -> AgentCost:
    """Return the cost of the final configuration: T local actors, T joint critics, Gram matrix."""
    final = structure._replace(agents="multi", critic="joint", policy_input="local")
    return agents_cost(num_tasks, num_tasks + 1, final)


def describe_raw(num_tasks: int, shared: int, structure: Structure) -> str:
    """Return one line about what the raw observation of P shared parameters would cost."""
    cost = agents_cost(num_tasks, shared + 1, structure)
    more = cost.over(final_cost(num_tasks, structure))
    words = zip(("parameters", "bytes of memory", "operations a step"), cost, more, strict=True)
    parts = [f"{short(value)} {what} (x{short(ratio)})" for what, value, ratio in words]
    return (
        f"{num_tasks} gradients of {short(shared)} shared parameters: agents of "
        f"{', '.join(parts[:-1])} and {parts[-1]}, compared with the final configuration"
    )


def short(value: float) -> str:
    """Return three significant digits with k, M, G, T, P or E for the powers of 1000."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if value < 999.5:
            return f"{value:.3g}{unit}"
        value /= 1000
    return f"{value:.3g}E"
