"""An accelerator where there is none."""

import torch
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("lazy")
"""Besides the CPU the one device that autograd goes through where no accelerator is."""


def pretend():
    """Tensors made in this context have a device but no values: whatever mixes devices fails."""
    return FakeTensorMode()


class Distant(torch.Tensor):
    """A tensor that says it is on DEVICE, and keeps its values in another on the CPU."""

    @staticmethod
    def __new__(cls, values):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
        )

    def __init__(self, values):
        self.values = values

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of StandIn")


class StandIn(TorchDispatchMode):
    """Gives DEVICE values, and counts how often the host waits for them.

    Attributes:
        waits: name of the operation -> how often it has brought a value to the host.
    """

    def __init__(self):
        super().__init__()
        self.waits = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if isinstance(x, Distant)]
        asked = kwargs.get("device")
        stays = asked is None or torch.device(asked).type == DEVICE.type
        name = func.name().removeprefix("aten::").partition(".")[0]
        if there:
            here = [x for x in tensors if not isinstance(x, Distant) and x.dim()]
            assert name == "copy_" or not here, f"{name} mixes devices"
            if name in ("_local_scalar_dense", "equal", "nonzero") or not stays:
                self.waits[name] = self.waits.get(name, 0) + 1
        elif asked is None or not stays:
            return func(*args, **kwargs)
        if asked is not None:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        found = func(*values_of(args), **values_of(kwargs))
        if name == "copy_" and not isinstance(args[0], Distant):
            self.waits[name] = self.waits.get(name, 0) + 1
            return args[0]
        if name.endswith("_") and not name.endswith("__"):
            return args[0]
        return tree_map_only(torch.Tensor, Distant, found) if stays else found


def values_of(tree):
    return tree_map_only(Distant, lambda tensor: tensor.values, tree)
