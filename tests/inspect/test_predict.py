"""``mtl-bench show`` of a record that somebody else made."""

import pytest
import torch
import yaml

from mtl_bench.cli import main
from mtl_bench.config.compose import compose_config
from mtl_bench.datasets.procedural.rooms.synth import synth
from mtl_bench.errors import RecordError
from mtl_bench.inspect.predict import predict_samples
from mtl_bench.training.run import run

RUN = ("dataset=nyuv2", "method=ls", "profile=smoke", "logger.progress=off")
TRAP = {"_target_": "os.mkdir", "_args_": ["ran"]}


@pytest.fixture
def record(tmp_path, monkeypatch):
    """A folder with nothing but a configuration; the working folder is watched."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "record").mkdir()
    return tmp_path / "record"


def write(record, **changes):
    config = compose_config([*RUN, f"paths.data={record.parent}"])
    for place, value in changes.items():
        *parents, key = place.split("__")
        node = config
        for parent in parents:
            node = node[parent]
        node[key] = value
    (record / "config.yaml").write_text(yaml.safe_dump(config))


def refusal(record):
    with pytest.raises(RecordError) as caught:
        predict_samples(record, 1)
    assert not (record.parent / "ran").exists()
    assert "\n" not in str(caught.value)
    assert str(record / "config.yaml") in str(caught.value)
    return str(caught.value)


CALL = {"_target_": "hydra.utils.instantiate", "config": {"x": TRAP}, "name": "nyuv2"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": CALL}, "dataset._target_=hydra.utils.instantiate: must start with mtl_bench."),
        ({"architecture": CALL}, "architecture._target_=hydra.utils.instantiate: must start"),
        ({"method": CALL}, "method._target_=hydra.utils.instantiate: must start with mtl_bench."),
        ({"method___target_": "os.system"}, "method._target_=os.system: must start with"),
        ({"method___target_": "mtl_bench.cli.main"}, "module mtl_bench.cli defines no class main"),
        ({"dataset___args_": ["x"]}, "unknown key dataset._args_"),
        ({"dataset___partial_": True}, "unknown key dataset._partial_"),
        ({"dataset__root": TRAP}, "dataset.root="),
        ({"dataset__batch_size": "many"}, "dataset.batch_size=many"),
        ({"method": 3}, "is no configuration of a run"),
        ({"protocol": []}, "is no configuration of a run"),
    ],
)
def test_classes_and_arguments_are_checked_before_anything_is_called(record, changes, message):
    write(record, **changes)
    assert message in refusal(record)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: !!python/object/apply:os.mkdir [ran]\n", "could not determine a constructor"),
        ("dataset: [\n", "did not find expected node content"),
        ("seed: 0\n", "is no configuration of a run (KeyError: 'dataset')"),
        ("", "is no configuration"),
        ("\x00", "is no configuration"),
    ],
)
def test_a_crafted_text_runs_nothing(record, text, message):
    (record / "config.yaml").write_text(text)
    assert message in refusal(record)


def test_the_command_says_so_in_one_line(record, capsys):
    write(record, method=CALL)
    assert main(["show", str(record)]) == 2
    assert "config.yaml: method._target_=hydra" in capsys.readouterr().err
    assert main(["show", str(record.parent)]) == 2
    assert "holds no run: give results/PROFILE/DATASET/METHOD/RUN" in capsys.readouterr().err


def test_a_record_of_our_own_is_shown_and_one_that_does_not_fit_is_refused(record):
    synth(record.parent / "nyuv2", 4, 2, 64, 64, jobs=1, report=lambda line: None)
    paths = (f"paths.data={record.parent}", f"paths.results={record.parent}/results")
    sizes = ("trainer.epochs=1", "dataset.train_size=2", "dataset.test_size=1")
    path = run(compose_config([*RUN, *paths, *sizes])).path
    samples, _, kind = predict_samples(path, 1)
    assert (len(samples), kind) == (1, "procedural")
    last = path / "checkpoint" / "last.pt"
    (path / "checkpoint" / "previous.pt").write_bytes(last.read_bytes())
    last.write_bytes(b"damage")
    assert len(predict_samples(path, 1)[0]) == 1
    assert last.read_bytes() == b"damage"  # the run may be in training, and another's to mend
    last.write_bytes((path / "checkpoint" / "previous.pt").read_bytes())
    content = torch.load(last, weights_only=True)
    content["state"]["network"].popitem()
    torch.save(content, last)
    with pytest.raises(RecordError, match=r"does not fit the run .*Missing key") as caught:
        predict_samples(path, 1)
    assert "\n" not in str(caught.value)
