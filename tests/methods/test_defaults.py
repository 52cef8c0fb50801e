"""What a method does when it is built with nothing but the number of tasks."""

import inspect

import pytest

import mtl_bench.methods
from mtl_bench.agents.exploration import OrnsteinUhlenbeck
from mtl_bench.methods.base import Method
from mtl_bench.methods.igbv2 import IGBv2
from tests.methods.test_contract import CLASSES

WEIGHTED = {"head_weighting": "weighted", "seed": 0}
UNWEIGHTED = {"head_weighting": "unweighted", "seed": 0}

DEFAULTS = {
    "STL": WEIGHTED,
    "LS": WEIGHTED | {"log_gram": False},
    "RLW": WEIGHTED,
    "DWA": WEIGHTED | {"variant": "window", "window": 25, "temperature": 2.0},
    "UW": WEIGHTED | {"form": "regression", "learning_rate": 0.025, "initial_log_variance": 0.0},
    "MGDA": WEIGHTED | {"normalize": "none", "scale": "tasks"},
    "GradDrop": {"seed": 0},
    "PCGrad": UNWEIGHTED | {"permutation": "each", "reduction": "sum", "part": "both"},
    "CAGrad": UNWEIGHTED | {"c": 0.4, "rescale": 1, "scale": "tasks"},
    "IMTL": WEIGHTED | {"variant": "gradient", "learning_rate": 1e-3},
    "NashMTL": WEIGHTED | {"solver": "newton", "max_norm": 1.0, "update_weights_every": 1},
    "AlignedMTL": UNWEIGHTED | {"scale_mode": "min"},
    "GLS": WEIGHTED | {"variant": "geometric"},
    "STCH": WEIGHTED | {"mu": 1.0, "warmup_epochs": 4},
    "FAMO": WEIGHTED | {"learning_rate": 0.025, "weight_decay": 1e-3},
    "GradNorm": WEIGHTED | {"alpha": 1.5, "learning_rate": 0.025, "norms_of": "shared"},
    "GradVac": UNWEIGHTED | {"beta": 0.5},
    "FairGrad": WEIGHTED | {"alpha": 2.0},
    "UPGrad": WEIGHTED | {"reduction": "sum"},
    "ConFIG": WEIGHTED,
    "SDMGrad": WEIGHTED | {"lam": 0.3, "learning_rate": 5.0, "momentum": 0.5, "iterations": 20},
    "DBMTL": {"seed": 0, "beta": 0.9, "decay": 0.0},
    "MoCo": {"seed": 0, "variant": "paper", "beta": 0.5, "gamma": 0.1, "decay": 0.5, "rho": 0.0},
    "CosReg": {"seed": 0, "penalty": 1.0},
    "Composed": {
        **{"seed": 0, "weighting": "UW", "combination": "PCGrad"},
        **{"weighting_fields": None, "combination_fields": None},
    },
    "TorchJD": WEIGHTED | {"aggregator": "UPGrad", "arguments": None},
    "Equal": WEIGHTED | {"normalize": "l2"},
    "TaskForce": WEIGHTED
    | {
        "observation": "gram",
        "agents": "multi",
        "critic": "joint",
        "policy_input": "local",
        "learner": "maddpg",
        "critic_inputs": "raw",
        "reward_scope": "shared",
        "gradient_reward": "min_norm",
        "reward_gradients": "normalized",
        "transition": "next_batch",
        "normalize": "l2",
        "normalize_scope": "all",
        "action_bound": 1.0,
        "lambda_l": 1.0,
        "lambda_g": 1e-3,
        "hidden_dim": 64,
        "learning_rate": 5e-4,
        "batch_size": 64,
        "buffer_size": 100_000,
        "tau": 0.01,
        "gamma": 0.95,
        "update_every": 1,
        "noise_start": 0.3,
        "noise_end": 0.05,
        "noise_steps": 10_000,
        "noise_theta": 0.15,
        "noise_sigma": 0.2,
        "grad_clip": 0.5,
        "action_penalty": 1e-3,
        "penalty_on": "action",
    },
    "IGBv2": WEIGHTED
    | {
        "base_epoch": 1,
        "random_epochs": 5,
        "update_after_epochs": 3,
        "update_every": 50,
        "batch_size": 256,
        "buffer_size": 10_000,
        "reward_scale": 1.0,
        "hidden_dim": 128,
        "learning_rate": 3e-4,
        "gamma": 0.99,
        "tau": 0.005,
        "initial_alpha": 0.2,
        "log_prob": "softmax",
    },
    "OrnsteinUhlenbeck": {"theta": 0.15, "sigma": 0.2},
}
"""Those of the papers and of the codes that the docstrings name."""


def found(name):
    others = {"IGBv2": IGBv2, "OrnsteinUhlenbeck": OrnsteinUhlenbeck}
    return others.get(name) or getattr(mtl_bench.methods, name)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults(name):
    parameters = inspect.signature(found(name)).parameters
    first, *rest = parameters.items()
    assert first[0] in ("num_tasks", "num_agents")
    assert {key: parameter.default for key, parameter in rest} == DEFAULTS[name]


def test_every_method_is_in_the_table():
    assert DEFAULTS.keys() >= CLASSES


def test_only_stl_trains_separate_networks_and_only_famo_looks_again_by_default():
    methods = [found(name) for name in DEFAULTS if name != "OrnsteinUhlenbeck"]
    assert [m.__name__ for m in methods if m.separate_networks] == ["STL"]
    assert [m.__name__ for m in methods if m.looks_again] == ["FAMO"]
    assert Method.needs == "losses"
