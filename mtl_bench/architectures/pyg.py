"""Networks of PyTorch Geometric on molecules, with one linear head per task.

Legend of shape suffixes: B molecules, A atoms of the batch, E edges, C features.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from mtl_bench.architectures.headed import HeadedNetwork
from mtl_bench.config.groups import find_sources
from mtl_bench.datasets.molecules import BOND_TYPES, MoleculeBatch, MoleculeStore
from mtl_bench.errors import ConfigError, MissingExtraError
from mtl_bench.values import Name

if TYPE_CHECKING:
    from torch_geometric.data import Batch

FIELDS = ("x", "z", "pos", "edge_index", "edge_attr", "batch")
"""What a batch of PyG has here, and a network's ``forward`` may ask for by name."""

Edges = Literal["bonds", "pairs"]


def to_pyg(batch: MoleculeBatch, edges: Edges) -> Batch:
    """Return a batch as PyG has it, without the absent atoms of padded molecules.

    Shapes: ``x`` (A, 11), ``z`` (A,) atomic numbers, ``pos`` (A, 3) in Å, ``edge_index`` (2, E),
    ``batch`` (A,) the molecule of each atom; of bonds ``edge_attr`` (E, 4), their type one-hot, of
    pairs (E, 5), with the distance in Å besides.

    Args:
        batch: of B molecules.
        edges: whether bonded atoms are joined, as in PyG's QM9, or all of a molecule, as in the
            benchmark of Nash-MTL.
    """
    from torch_geometric.data import Batch

    device = batch.atoms_AF.device
    values, counts = torch.tensor(batch.groups, device=device).unbind(1)
    sizes_B = values.repeat_interleave(counts)
    first_B, squares_B = sizes_B.cumsum(0) - sizes_B, sizes_B**2
    size_P, first_P, start_P = (
        each.repeat_interleave(squares_B)
        for each in (sizes_B, first_B, squares_B.cumsum(0) - squares_B)
    )
    within_P = torch.arange(len(size_P), device=device) - start_P
    scale_P = batch.pairs_PE[:, -1]
    columns = batch.pairs_PE[:, : BOND_TYPES + (edges == "pairs")]
    present_A = batch.slots_A < batch.size * batch.largest
    here_A, number_A = present_A.nonzero()[:, 0], present_A.cumsum(0) - 1
    molecules = torch.arange(batch.size + 1, device=device)
    molecule_A = molecules[:-1].repeat_interleave(sizes_B)[here_A]
    joined_E = (columns != 0).any(dim=1).nonzero()[:, 0]
    ends_2P = first_P + torch.stack([within_P // size_P, within_P % size_P])
    return Batch(
        x=batch.atoms_AF[here_A],
        z=batch.atoms_AF[here_A, 5].long(),
        pos=batch.positions_A3[here_A],
        edge_index=number_A[ends_2P[:, joined_E]],
        edge_attr=(columns / scale_P[:, None])[joined_E],
        batch=molecule_A,
        ptr=torch.searchsorted(molecule_A, molecules),
    )


class Neighbours(nn.Module):
    """Pairs of atoms of a molecule that are nearer than a cutoff, and their distances.

    The same as PyG's ``RadiusInteractionGraph`` for molecules of up to 33 atoms, without the
    compiled package that it needs.

    Args:
        cutoff: Å.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, pos: Tensor, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return (2, E) and (E,)."""
        ends_2P = (batch[:, None] == batch).fill_diagonal_(False).nonzero().T
        distance_P = (pos[ends_2P[0]] - pos[ends_2P[1]]).norm(dim=1)
        near_P = distance_P <= self.cutoff
        return ends_2P[:, near_P], distance_P[near_P]


class PyG(HeadedNetwork):
    """Any network on a batch of PyG as the shared trunk, and a linear head per task.

    Its ``forward`` is given the fields of the batch that it names (``x``, ``z``, ``pos``,
    ``edge_index``, ``edge_attr``, ``batch``), or if its first argument is none of these, the batch
    itself. Its output, (B, C), is the representation; of (A, C) the atoms of a molecule are pooled.

    Args:
        tasks: names of the tasks.
        network: a class of PyG's, for instance ``torch_geometric.nn.GIN``, or of a package that
            adds configurations.
        arguments: of its constructor.
        edges: ``bonds``, or ``pairs`` of all atoms of a molecule; see ``to_pyg``.
        readout: how atoms are pooled.
        bypass: submodules that are left out, such as the layer of a single output.

    Raises:
        MissingExtraError: torch-geometric is not installed.
        ConfigError: no such network, or it refuses its arguments or a batch.
    """

    has_representation: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        network: Name,
        arguments: dict[str, Any] | None = None,
        edges: Edges = "bonds",
        readout: Literal["add", "mean", "max"] = "add",
        bypass: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.edges: Edges = edges
        kind = _find(network)
        from torch_geometric.nn.models.schnet import RadiusInteractionGraph
        from torch_geometric.nn.resolver import aggregation_resolver

        self.readout = aggregation_resolver(readout)
        try:
            self.network = kind(**(arguments or {}))
            for name in bypass:
                self.network.get_submodule(name)
                self.network.set_submodule(name, nn.Identity())
        except Exception as error:  # whatever a constructor raises for its arguments
            raise ConfigError(
                f"architecture.network={network}, architecture.arguments={arguments}, "
                f"architecture.bypass={list(bypass)}: {error}"
            ) from error
        for name, module in self.network.named_modules():
            if isinstance(module, RadiusInteractionGraph):
                self.network.set_submodule(name, Neighbours(module.cutoff))
        named = inspect.signature(self.network.forward).parameters
        self.fields = tuple(field for field in FIELDS if field in named)
        self.takes_batch = next(iter(named), "") not in FIELDS
        self.heads = nn.ModuleDict()
        channels = self._channels(network)
        self.heads.update({task: nn.Linear(channels, 1) for task in tasks})

    def _channels(self, network: str) -> int:
        """Return C, which a molecule of water shows."""
        water: dict[str, np.ndarray] = {
            "numbers": np.array([8, 1, 1], np.uint8),
            "hydrogens": np.array([2, 0, 0], np.uint8),
            "positions": np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]], np.float32),
            "atom_offsets": np.array([0, 3]),
            "bonds": np.array([0, 1, 1, 1, 0, 0, 1, 0, 0], np.uint8),
        }
        batch = MoleculeStore(water, np.zeros((1, 0), np.float32), ()).__getitems__([0])
        try:
            with torch.no_grad():
                return self.eval().representation(batch).shape[1]
        except Exception as error:  # whatever a network raises for what it isn't made for
            raise ConfigError(
                f"architecture.network={network} can't read molecules: "
                + " ".join(f"{type(error).__name__}: {error}".split())
            ) from error
        finally:
            self.train()

    def representation(self, batch: MoleculeBatch) -> Tensor:
        """Return what the heads share, (B, C)."""
        graph = to_pyg(batch, self.edges)
        if self.takes_batch:
            output = self.network(graph)
        else:
            output = self.network(**{field: graph[field] for field in self.fields})
        return output if len(output) == batch.size else self.readout(output, graph.batch)

    def predict(self, representation: Tensor, batch: MoleculeBatch) -> dict[str, Tensor]:
        """Return task -> standardised predictions, (B,)."""
        return {task: head(representation)[:, 0] for task, head in self.heads.items()}


def _find(network: str) -> type[nn.Module]:
    """Return a network's class, from PyG or a package that adds configurations."""
    packages = ["torch_geometric", *(source.package for source in find_sources())]
    if network.partition(".")[0] not in packages:
        raise ConfigError(
            f"architecture.network={network}: must start with "
            + " or ".join(f"{package}." for package in packages)
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch-geometric's own deprecations
            import torch_geometric.nn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"architecture=pyg needs torch-geometric ({error}): pip install 'mtl_bench[pyg]'"
        ) from error
    try:
        found = resolve_name(network)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"architecture.network={network}: {error}") from error
    if not inspect.isclass(found) or not issubclass(found, nn.Module):
        raise ConfigError(f"architecture.network={network}: is no subclass of torch.nn.Module")
    return found
