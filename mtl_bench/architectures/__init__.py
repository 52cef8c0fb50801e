"""Networks with shared and task-specific parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = [
    "MPNN",
    "MTAN",
    "AllFC",
    "Architecture",
    "CelebAResNet",
    "CrossStitch",
    "CrossStitchFC",
    "LeNet",
    "PSPNet",
    "PyG",
    "Routed",
    "SegNet",
    "SingleTask",
]

if TYPE_CHECKING:
    from mtl_bench.architectures.all_fc import AllFC
    from mtl_bench.architectures.base import Architecture
    from mtl_bench.architectures.celeba_resnet import CelebAResNet
    from mtl_bench.architectures.cross_stitch import CrossStitch
    from mtl_bench.architectures.cross_stitch_fc import CrossStitchFC
    from mtl_bench.architectures.lenet import LeNet
    from mtl_bench.architectures.mpnn import MPNN
    from mtl_bench.architectures.mtan import MTAN
    from mtl_bench.architectures.pspnet import PSPNet
    from mtl_bench.architectures.pyg import PyG
    from mtl_bench.architectures.routed import Routed
    from mtl_bench.architectures.segnet import SegNet
    from mtl_bench.architectures.single_task import SingleTask
else:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        __all__,
        {
            "AllFC": "all_fc",
            "Architecture": "base",
            "CelebAResNet": "celeba_resnet",
            "CrossStitch": "cross_stitch",
            "CrossStitchFC": "cross_stitch_fc",
            "SingleTask": "single_task",
        },
    )
