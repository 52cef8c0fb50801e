"""An accelerator where there is none."""

import torch
from torch._subclasses import FakeTensorMode

DEVICE = torch.device("lazy")
"""Besides the CPU the one device that autograd goes through where no accelerator is."""


def pretend():
    """Tensors made in this context have a device but no values: whatever mixes devices fails."""
    return FakeTensorMode()
