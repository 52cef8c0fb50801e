"""A training that was stopped and goes on ends with the bits of one that never stopped."""

import copy
import signal

import pytest

from mtl_bench.config.build import build_data
from mtl_bench.config.groups import describe_group
from mtl_bench.config.identity import config_hash
from mtl_bench.records.writer import RunRecord, record_path
from tests.nightly import gate
from tests.training.runs import (
    METHODS,
    SMALLEST,
    STEPS,
    Watcher,
    config_of,
    differences,
    smallest,
    stop_at,
    train,
    trainer_of,
)

TOTAL = 3 * STEPS

DATASETS = sorted(SMALLEST)

AT_WORK = {
    "dwa": ("method.window=1",),
    "igbv2": (
        *("method.base_epoch=0", "method.random_epochs=1", "method.update_after_epochs=1"),
        *("method.update_every=2", "method.batch_size=4", "method.hidden_dim=8"),
    ),
    "imtl": ("method.variant=hybrid",),
    "stch": ("method.warmup_epochs=0",),
    "taskforce": ("method.batch_size=2", "method.hidden_dim=8"),
    "torchjd": ("method.aggregator=GradVac",),
}
"""Overrides with which all of a method is at work before the first stop."""

CELLS = {name: (f"method={name}", *AT_WORK.get(name, ())) for name in describe_group("method")}
CELLS["taskforce, same batch"] = (*CELLS["taskforce"], "method.transition=same_batch")


ROUTED = ("method=pcgrad", "architecture=routed", "architecture.modules=4")
"""Agents choose modules, and learn from every update."""

IMAGES = {("graddrop", "cityscapes"), ("taskforce, same batch", "nyuv2")}
"""These methods ask most of gradients, and remember most."""

REMEMBER = {"gradnorm", "igbv2", "rlw", "stl", "taskforce", "torchjd", "uw"}
"""Parameters and chance, a window, a policy: of each kind one. What a checkpoint must have of any
method is tested with the method alone, in tests/methods and test_checkpoint_entries.py."""


def always_run(cell, dataset):
    """Whether the gate trains a pair; pictures with classes are trained on below."""
    return (dataset == "qm9" and cell in REMEMBER) or (cell, dataset) in IMAGES


PAIRS = [
    pytest.param(
        *(cell, dataset),
        marks=[] if always_run(cell, dataset) else [pytest.mark.nightly],
        id=f"{cell}-{dataset}",
    )
    for cell in CELLS
    for dataset in DATASETS
]


@pytest.mark.parametrize(("cell", "dataset"), PAIRS)
def test_every_method_on_every_data_set(cell, dataset, small_data, tmp_path):
    """Two epochs of two steps, stopped at the last step of the first and within the second.

    The parts are trained with workers and without in turn, the other way round in every other cell.
    """
    config = smallest(dataset, small_data, tmp_path / "straight", *CELLS[cell])
    straight = train(config)
    stopped = copy.deepcopy(config)
    stopped["paths"]["results"] = str(tmp_path / "stopped")
    turn = (list(CELLS).index(cell) + DATASETS.index(dataset)) % 2
    for part, observers in enumerate(([stop_at(2)], [stop_at(1)], [])):
        stopped["trainer"]["workers"] = 2 * ((part + turn) % 2)
        end = train(stopped, *observers)
        assert (end.selected is None) == bool(observers)
        assert end.steps["step"] == list(range(1, (2, 3, 4)[part] + 1))
    assert differences(straight._asdict(), end._asdict()) == []


STOPS = {
    "first step": (1,),
    "mid-epoch": (STEPS + 2,),
    "an epoch's last step": (2 * STEPS,),
    "the last step": (TOTAL,),
    "again and again": (2, 1, STEPS),
}


def methods_and_stops():
    """Yield every pair; always each method stopped again and again, one at its first step."""
    for method in METHODS:
        for place, (name, stops) in enumerate(STOPS.items()):
            always = name == "again and again" or (place, method) == (0, "ls")
            marks = [] if always else [pytest.mark.nightly]
            yield pytest.param(method, stops, marks=marks, id=f"{method}, {name}")


@pytest.mark.parametrize(("method", "stops"), list(methods_and_stops()))
def test_stopped_and_resumed_equals_uninterrupted(method, stops, tiny_data, tmp_path, straight):
    config = config_of(tiny_data, tmp_path, *METHODS[method])
    for stop in stops:
        assert train(config, stop_at(stop)).selected is None
    resumed = train(config)
    assert len(resumed.steps["step"]) == TOTAL
    assert differences(straight(method)._asdict(), resumed._asdict()) == []


@pytest.mark.parametrize("method", gate(1, reversed(METHODS)))
@pytest.mark.parametrize("loading", ["trainer.workers=2", "dataset.resident=true"])
def test_how_batches_are_made_and_a_stop_change_nothing(
    method, loading, tiny_data, tmp_path, straight
):
    config = config_of(tiny_data, tmp_path, *METHODS[method], loading)
    train(config, stop_at(STEPS + 1, signal.SIGUSR1))
    assert differences(straight(method)._asdict(), train(config)._asdict()) == []


@pytest.mark.parametrize("loading", gate(1, ["trainer.workers=2", "dataset.resident=true"]))
def test_a_padded_training_goes_on_and_is_the_plain_one_but_for_rounding(
    loading, mixed_data, tmp_path
):
    words = ("method=mgda", "dataset.padded=true")
    plain = train(config_of(mixed_data, tmp_path / "plain", "method=mgda"))
    padded = train(config_of(mixed_data, tmp_path / "padded", *words))
    config = config_of(mixed_data, tmp_path / "stopped", *words, loading)
    train(config, stop_at(STEPS + 1))
    assert differences(padded._asdict(), train(config)._asdict()) == []
    for name, values in plain.steps.items():
        if name.startswith("loss/"):
            assert padded.steps[name] == pytest.approx(values, rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_step_log_saved_at_every_step_keeps_every_row(method, tiny_data, tmp_path, straight):
    config = config_of(tiny_data, tmp_path, *METHODS[method], "trainer.checkpoint_minutes=1e-9")
    train(config, stop_at(STEPS + 2))
    resumed = train(config)
    assert resumed.steps["step"] == list(range(1, TOTAL + 1))
    assert differences(straight(method)._asdict(), resumed._asdict()) == []


@pytest.mark.parametrize(
    ("dataset", "words"),
    gate(
        3,
        [
            ("multimnist", ("method=pcgrad",)),
            ("cifar100", ROUTED),
            ("celeba", ("method=uw",)),
            ("cifar100", ("method=pcgrad",)),
        ],
    ),
    ids=["multimnist", "routed", "celeba", "cifar100"],
)
def test_classified_pictures_are_trained_on_after_a_kill_and_a_stop(
    dataset, words, small_data, tmp_path
):
    """Killed in the second epoch, stopped at its first step, then to the end."""

    class Killed(BaseException):
        pass

    def die(step):
        if step == 3:
            raise Killed

    config = smallest(dataset, small_data, tmp_path / "straight", *words)
    straight = train(config)
    config["paths"]["results"] = str(tmp_path / "killed")
    with pytest.raises(Killed):
        train(config, Watcher(die))
    assert train(config, stop_at(1)).steps["step"] == [1, 2, 3]
    end = train(config)
    assert differences(straight._asdict(), end._asdict()) == []
    if words == ROUTED:
        assert end.state["network"]["router.policies_TLN"].std() > 0


def test_a_killed_epoch_is_trained_again_from_the_checkpoint(tiny_data, tmp_path, straight):
    class Killed(BaseException):
        pass

    def die(step):
        if step == 2 * STEPS + 2:
            raise Killed

    config = config_of(tiny_data, tmp_path, *METHODS["ls"])
    with pytest.raises(Killed):
        train(config, Watcher(die))
    assert differences(straight("ls")._asdict(), train(config)._asdict()) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_kill_in_a_long_evaluation_costs_no_update(method, tiny_data, tmp_path, straight):
    """The checkpoint falls due while the second epoch is evaluated."""

    class Killed(BaseException):
        pass

    config = config_of(tiny_data, tmp_path, *METHODS[method])
    data = build_data(config)
    evaluation_batches = data.evaluation_batches

    def die(split, *words, **options):
        batches = evaluation_batches(split, *words, **options)
        if split == "validation" or trainer.progress.epoch == 1:
            yield from batches
            return
        trainer.saved_at -= 60 * config["trainer"]["checkpoint_minutes"]
        yield next(batches)
        raise Killed

    with RunRecord(record_path(config, config_hash(config))) as record:
        trainer = trainer_of(config, record, Watcher(), data=data)
        data.evaluation_batches = die
        trainer.resume()
        with pytest.raises(Killed):
            trainer.run()
    console = Watcher()
    assert differences(straight(method)._asdict(), train(config, console)._asdict()) == []
    assert console.steps == STEPS


def test_the_fallback_checkpoint_leads_to_the_same_end(tiny_data, tmp_path, straight):
    config = config_of(tiny_data, tmp_path, *METHODS["ls"])
    train(config, stop_at(2 * STEPS + 2))
    last = record_path(config, config_hash(config)) / "checkpoint" / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    assert differences(straight("ls")._asdict(), train(config)._asdict()) == []
