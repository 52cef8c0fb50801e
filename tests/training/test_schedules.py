"""The schedules that a configuration may name, as torch carries them out."""

import pytest
import torch

from mtl_bench.config.build import build_scheduler
from mtl_bench.config.compose import compose_config


@pytest.mark.parametrize(
    ("section", "rates"),
    [
        ("{_target_: torch.optim.lr_scheduler.StepLR, step_size: 2, gamma: 0.5}", [8, 8, 4, 4, 2]),
        (
            "{_target_: torch.optim.lr_scheduler.MultiStepLR, milestones: [1, 3], gamma: 0.5}",
            [8, 4, 4, 2, 2],
        ),
        ("null", [8, 8, 8, 8, 8]),
    ],
)
def test_rates_of_five_epochs(section, rates):
    config = compose_config(["dataset=nyuv2", "method=ls", "~scheduler", f"+scheduler={section}"])
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=8.0)
    scheduler = build_scheduler(config["scheduler"], optimizer)
    found = []
    for _ in rates:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert found == rates
