"""Networks of PyTorch Geometric as trunks, fed by batches of molecules."""

import re

import pytest
import torch

from mtl_bench.architectures.pyg import PyG, to_pyg
from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.errors import ConfigError
from mtl_bench.testing import check_architecture
from tests.molecules import random_store
from tests.training.runs import differences, stop_at, train

TASKS = ("a", "b", "c")
SIZES = (3, 7, 7, 5, 12, 7)

NETWORKS = {
    "SchNet": {
        "network": "torch_geometric.nn.SchNet",
        "arguments": {"hidden_channels": 8, "num_filters": 8, "num_interactions": 2, "cutoff": 4},
        "bypass": ("lin2",),
    },
    "GIN": {
        "network": "torch_geometric.nn.GIN",
        "arguments": {"in_channels": 11, "hidden_channels": 8, "num_layers": 2},
    },
    "AttentiveFP": {
        "network": "torch_geometric.nn.AttentiveFP",
        "arguments": {
            **{"in_channels": 11, "hidden_channels": 8, "out_channels": 6, "edge_dim": 5},
            **{"num_layers": 2, "num_timesteps": 2, "dropout": 0.1},
        },
        "edges": "pairs",
    },
}


def overrides_of(name):
    """Return the words of a command that choose a network."""

    def written(value):
        if isinstance(value, dict):
            return "{" + ",".join(f"{k}:{written(v)}" for k, v in value.items()) + "}"
        return str(list(value)).replace("'", "") if isinstance(value, tuple) else str(value)

    fields = [f"architecture.{key}={written(value)}" for key, value in NETWORKS[name].items()]
    return [*SMALL, "architecture=pyg", *fields]


SMALL = (
    *("dataset=qm9", "profile=smoke", "logger.progress=off", "trainer.device=cpu"),
    *("dataset.train_size=75", "dataset.val_size=20", "dataset.test_size=20"),
    *("dataset.batch_size=20", "trainer.epochs=2"),
)


@pytest.fixture
def batch():
    return random_store(SIZES, TASKS).__getitems__(range(len(SIZES)))


@pytest.mark.parametrize("edges", ["bonds", "pairs"])
def test_a_batch_is_the_molecules_one_after_another(batch, edges):
    store = random_store(SIZES, TASKS)
    order = sorted(range(len(SIZES)), key=lambda m: SIZES[m])
    graph = to_pyg(batch, edges)
    assert graph.num_graphs == len(SIZES)
    assert graph.num_nodes == sum(SIZES)
    pair_offsets = [sum(n * n for n in SIZES[:m]) for m in range(len(SIZES))]
    expected = set()
    first = 0
    for place, molecule in enumerate(order):
        n, start = SIZES[molecule], store.arrays["atom_offsets"][molecule]
        pos = torch.from_numpy(store.arrays["positions"][start : start + n])
        here = graph.batch == place
        assert torch.equal(graph.pos[here], pos)
        numbers = store.arrays["numbers"][start : start + n].tolist()
        assert graph.z[here].tolist() == numbers
        for i in range(n):
            for j in range(n):
                order_of_bond = int(store.arrays["bonds"][pair_offsets[molecule] + i * n + j])
                if i != j and (edges == "pairs" or order_of_bond):
                    one_hot = tuple(float(order_of_bond == k) for k in (1, 2, 3, 4))
                    distance = round(float((pos[i] - pos[j]).norm()), 4)
                    more = (distance,) if edges == "pairs" else ()
                    expected.add((first + i, first + j, *one_hot, *more))
        first += n
    found = [
        (i, j, *attributes[:4], *(round(d, 4) for d in attributes[4:]))
        for (i, j), attributes in zip(
            graph.edge_index.T.tolist(), graph.edge_attr.tolist(), strict=True
        )
    ]
    assert len(found) == len(expected)
    for got, wanted in zip(sorted(found), sorted(expected), strict=True):
        assert got == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("edges", ["bonds", "pairs"])
def test_absent_atoms_are_left_out(batch, edges):
    padded, plain = (to_pyg(each, edges).to_dict() for each in (batch.padded(14), batch))
    assert padded.keys() == plain.keys()
    for key, value in plain.items():
        assert torch.equal(padded[key], value), key


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_is_shared_or_owned_by_one_task(name, batch):
    check_architecture(PyG(TASKS, **NETWORKS[name]), batch, TASKS)


def test_predictions_are_those_of_the_network_called_by_hand(batch):
    from torch_geometric.nn import global_add_pool  # takes seconds, which collecting need not

    network = PyG(TASKS, **NETWORKS["GIN"])
    graph = to_pyg(batch, "bonds")
    atoms = network.network(graph.x, graph.edge_index)
    expected = network.heads["b"](global_add_pool(atoms, graph.batch))[:, 0]
    torch.testing.assert_close(network(batch)["b"], expected)


def test_schnet_sees_every_pair_within_its_cutoff(batch):
    network = PyG(TASKS, **NETWORKS["SchNet"])
    graph = to_pyg(batch, "pairs")
    ends, distances = network.network.interaction_graph(graph.pos, graph.batch)
    near = graph.edge_attr[:, 4] <= 4
    assert 0 < near.sum() < len(near)
    assert sorted(ends.T.tolist()) == sorted(graph.edge_index[:, near].T.tolist())
    torch.testing.assert_close(distances.sort()[0], graph.edge_attr[near, 4].sort()[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_it_trains_from_the_command_line(name, tiny_data, tmp_path):
    paths = (f"paths.data={tiny_data}", f"paths.results={tmp_path}")
    assert main(["train", "method=mgda", *overrides_of(name), *paths]) == 0
    assert list(tmp_path.glob("*/qm9/mgda/seed0-*/DONE"))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_goes_on_as_if_not_stopped(name, tiny_data, tmp_path):
    def config_in(folder):
        paths = (f"paths.data={tiny_data}", f"paths.results={tmp_path / folder}")
        return compose_config(["method=ls", *overrides_of(name), *paths])

    straight = train(config_in("straight"))
    assert train(config_in("stopped"), stop_at(5)).selected is None
    assert differences(straight, train(config_in("stopped"))) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"network": "os.system"}, "must start with torch_geometric."),
        ({"network": "torch_geometric.nn.GIX"}, "has no attribute 'GIX'"),
        ({"network": "torch_geometric.nn.global_add_pool"}, "no subclass of torch.nn.Module"),
        ({"network": "torch_geometric.nn.GIN"}, "in_channels"),
        ({"network": "torch_geometric.nn.SchNet", "bypass": ("lin3",)}, "lin3"),
        (
            {
                "network": "torch_geometric.nn.GIN",
                "arguments": {"in_channels": 9, "hidden_channels": 8, "num_layers": 2},
            },
            "can't read molecules",
        ),
    ],
)
def test_a_network_that_can_not_be_is_one_line(fields, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        PyG(TASKS, **fields)
    assert "\n" not in str(caught.value)


def test_the_network_has_to_be_named():
    with pytest.raises(ConfigError, match=r"architecture\.network"):
        compose_config(["dataset=qm9", "method=ls", "architecture=pyg"])
