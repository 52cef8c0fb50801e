"""What of a configuration its choices don't tell."""

import pytest

from mtl_bench.config.compose import compose_config
from mtl_bench.config.identity import settings_of
from mtl_bench.config.overrides import find_overrides

RUN = ("dataset=qm9", "method=ls")


@pytest.mark.parametrize(
    ("words", "overrides"),
    [
        ((), {}),
        (("dataset.train_size=2",), {"dataset.train_size": 2}),
        (("seed=3", "variant=x", "paths.results=r", "trainer.device=cpu", "debug=true"), {}),
        (("optimizer.lr=1e-3", "trainer.epochs=2"), {"trainer.epochs": 2}),
        (("optimizer.betas=[0.8,0.9]",), {"optimizer.betas": [0.8, 0.9]}),
        (
            ("architecture.dim=8", "protocol.last_k=3"),
            {"architecture.dim": 8, "protocol.last_k": 3},
        ),
        (("method=cagrad", "method.c=0.9"), {"method.c": 0.9}),
        (
            ("method=taskforce", "ablation=imtl"),
            {"method.gradient_reward": "imtl", "method.lambda_g": 1},
        ),
        (("method=stl", "architecture.dim=8"), {"architecture.dim": 8}),
        (("protocol=aligned",), {"protocol": "aligned"}),
    ],
)
@pytest.mark.parametrize("profile", ["paper", "mini"])
def test_what_the_choices_do_not_tell_is_found(profile, words, overrides):
    config = compose_config([*RUN, f"profile={profile}", *words])
    assert find_overrides(settings_of(config)) == overrides


def test_what_cannot_be_composed_has_no_overrides():
    settings = settings_of(compose_config(RUN))
    assert find_overrides(settings | {"dataset.name": "lost"}) == {}
