"""Multi-task optimisation methods, one file each: class ``MGDA`` lives in ``mgda.py``.

A name imports its own file and no other. The two lists are for type checkers and completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtl_bench.lazy import lazy_exports

__all__ = [
    "DBMTL",
    "DWA",
    "FAMO",
    "GLS",
    "IMTL",
    "LS",
    "MGDA",
    "RLW",
    "STCH",
    "STL",
    "UW",
    "AlignedMTL",
    "CAGrad",
    "Composed",
    "ConFIG",
    "CosReg",
    "Equal",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "IGBv2",
    "Method",
    "MoCo",
    "NashMTL",
    "PCGrad",
    "SDMGrad",
    "StepInfo",
    "TaskForce",
    "TorchJD",
    "UPGrad",
]

if TYPE_CHECKING:
    from mtl_bench.methods.alignedmtl import AlignedMTL
    from mtl_bench.methods.base import Method, StepInfo
    from mtl_bench.methods.cagrad import CAGrad
    from mtl_bench.methods.composed import Composed
    from mtl_bench.methods.config import ConFIG
    from mtl_bench.methods.cosreg import CosReg
    from mtl_bench.methods.dbmtl import DBMTL
    from mtl_bench.methods.dwa import DWA
    from mtl_bench.methods.equal import Equal
    from mtl_bench.methods.fairgrad import FairGrad
    from mtl_bench.methods.famo import FAMO
    from mtl_bench.methods.gls import GLS
    from mtl_bench.methods.graddrop import GradDrop
    from mtl_bench.methods.gradnorm import GradNorm
    from mtl_bench.methods.gradvac import GradVac
    from mtl_bench.methods.igbv2 import IGBv2
    from mtl_bench.methods.imtl import IMTL
    from mtl_bench.methods.ls import LS
    from mtl_bench.methods.mgda import MGDA
    from mtl_bench.methods.moco import MoCo
    from mtl_bench.methods.nashmtl import NashMTL
    from mtl_bench.methods.pcgrad import PCGrad
    from mtl_bench.methods.rlw import RLW
    from mtl_bench.methods.sdmgrad import SDMGrad
    from mtl_bench.methods.stch import STCH
    from mtl_bench.methods.stl import STL
    from mtl_bench.methods.taskforce import TaskForce
    from mtl_bench.methods.torchjd import TorchJD
    from mtl_bench.methods.upgrad import UPGrad
    from mtl_bench.methods.uw import UW
else:
    __getattr__, __dir__ = lazy_exports(__name__, __all__, {"Method": "base", "StepInfo": "base"})
