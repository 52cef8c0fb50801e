"""Dashboards beside real trainings: what they show, and that the record never knows of them."""

import json
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import yaml

from mtl_bench.scores import DeltaM
from mtl_bench.tracking.feed import epoch_values, final_values
from tests.end_to_end.processes import (
    ENVIRONMENT,
    call,
    call_without,
    make_desk,
    results_of,
    start,
    wait_for_epochs,
)
from tests.nightly import gate
from tests.tracking.wandb_file import OfflineRun
from tests.tracking.wandb_server import KEY, serve

needs_wandb = pytest.mark.skipif(not find_spec("wandb"), reason="needs the extra wandb")
needs_tensorboard = pytest.mark.skipif(
    not find_spec("tensorboard"), reason="needs the extra tensorboard"
)

SIZES = ("dataset.train_size=40", "dataset.val_size=20", "dataset.test_size=20")
EPOCHS = 20
TINY = (
    *("train", "dataset=qm9", "profile=smoke", "method=taskforce", "dataset.batch_size=20", *SIZES),
    *("architecture.dim=4", "architecture.edge_hidden=4", f"trainer.epochs={EPOCHS}"),
)
"""Two updates an epoch."""

RUN = "smoke/qm9/taskforce"


@pytest.fixture(scope="module")
def desk(tiny_data, tmp_path_factory):
    return make_desk(tmp_path_factory, tiny_data)


@pytest.fixture(scope="module")
def plain(desk):
    """The record of a run with the console alone."""
    done = call(*TINY, cwd=desk)
    assert done.returncode == 0, done.stderr
    return record_in(desk, "results")


def record_in(desk, results):
    (record,) = (desk / results / RUN).glob("seed0-*")
    return record


def stop_and_resume(words, cwd, folder, environment=ENVIRONMENT):
    """End a run by SIGTERM after some epochs and type the same again; return all output."""
    process = start(*words, cwd=cwd, environment=environment)
    wait_for_epochs(process, folder, 5)
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    done = call(*words, cwd=cwd, environment=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert "resumed at epoch" in done.stdout
    return printed + done.stdout


def lines_of(record):
    return [json.loads(line) for line in (record / "metrics.jsonl").read_text().splitlines()]


def summary_of(record):
    return json.loads((record / "summary.json").read_text())


def only(found):
    (one,) = found
    return one


def offline_file(results, run_id):
    folder = only(results.glob(f".wandb/offline-run-*-{run_id}"))
    return folder / f"run-{run_id}.wandb"


def is_whole(history, record, every):
    """Check steps and epochs of a history, the numbers of the epochs against metrics.jsonl."""
    assert [row["_step"] for row in history] == sorted(
        {*range(every, 2 * EPOCHS + 1, every), *range(2, 2 * EPOCHS + 1, 2)}
    )
    epochs = [row for row in history if "epoch" in row]
    assert len(epochs) == EPOCHS
    for row, line in zip(epochs, lines_of(record), strict=True):
        wanted = epoch_values(line, DeltaM())
        assert {key: row[key] for key in wanted} == wanted
    steps = set(history[-1])
    assert {"loss/mu", "weight/cv", "gram/homo", "cosine/mu/alpha"} <= steps
    assert {"method/reward", "method/noise_scale", "method/td_error"} <= steps


@pytest.fixture(scope="module")
def offline(desk):
    """A run beside offline W&B, stopped and resumed, and its file."""
    words = (*TINY, "logger=wandb", "logger.every=3", "paths.results=offline")
    printed = stop_and_resume(words, desk, desk / "offline")
    assert "W&B" not in printed
    record = record_in(desk, "offline")
    return record, offline_file(desk / "offline", f"smoke-qm9-taskforce-{record.name}")


@needs_wandb
def test_a_resumed_offline_run_is_whole(offline, plain):
    record, path = offline
    assert record.name == plain.name
    assert results_of(record) == results_of(plain)
    found = OfflineRun(path)
    is_whole(found.history, record, 3)
    assert found.exit == 0


@needs_wandb
def test_an_offline_run_says_what_it_is(offline):
    record, path = offline
    found = OfflineRun(path)
    assert (found.run.project, found.run.run_group) == ("mtl_bench", "qm9/smoke")
    assert found.run.display_name == "taskforce seed 0"
    assert found.run.notes == "Profile smoke, real data. Δm is against the published STL."
    assert list(found.run.tags) == ["qm9", "mpnn", "taskforce", "nash", "smoke", "real data"]
    config = yaml.safe_load((record / "config.yaml").read_text())
    environment = json.loads((record / "environment.json").read_text())
    for key in ("method", "trainer", "optimizer", "dataset"):
        assert found.config[key] == config[key]
    assert found.config["label"] == "taskforce"
    assert found.config["environment"] == environment
    assert {"logger", "paths"}.isdisjoint(found.config)
    final = final_values(summary_of(record))
    assert f"final/best_val/{DeltaM.panel}" in final
    assert {key: found.summary[key] for key in final} == final


@needs_wandb
def test_w_and_b_looks_at_nothing_by_itself(offline):
    """Neither the console, nor git, nor code, nor the machine or its packages."""
    files = [path for path in (offline[1].parent / "files").rglob("*") if path.is_file()]
    assert files == []


@needs_wandb
def test_earlier_records_are_sent_as_if_at_their_time(plain, offline, desk):
    done = call("wandb", "sync", "profile=smoke", "dataset=qm9", "every=3", cwd=desk)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("1 of 1 records are in results/.wandb")
    live = OfflineRun(offline[1])
    sent = OfflineRun(offline_file(desk / "results", live.run.run_id))
    is_whole(sent.history, plain, 3)
    assert sent.steps == live.steps
    assert (sent.run.run_id, sent.run.run_group) == (live.run.run_id, live.run.run_group)


@pytest.mark.nightly
@needs_wandb
def test_a_damaged_record_does_not_keep_back_the_others(plain, tmp_path):
    good, bad = (tmp_path / "results" / RUN / name for name in (plain.name, "seed1-00000000"))
    for folder in (good, bad):
        shutil.copytree(plain, folder)
    (bad / "steps" / "part-000000001.parquet").write_bytes(b"PAR1")
    done = call("wandb", "sync", "every=3", cwd=tmp_path)
    assert done.returncode == 1
    assert "seed1-00000000: summary.json says seed 0" in done.stderr
    assert "1 of 2 records" in done.stdout
    (bad / "summary.json").write_text(
        json.dumps(summary_of(good) | {"seed": 1, "hash": "00000000"})
    )
    (bad / "DONE").write_text("2026-01-01T00:00:00+00:00\n")  # without hashes
    done = call("wandb", "sync", "every=3", cwd=tmp_path)
    assert done.returncode == 1
    assert "part-000000001.parquet" in done.stderr or "Parquet" in done.stderr
    assert "1 of 2 records" in done.stdout


def online(server, **more):
    return ENVIRONMENT | {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": KEY} | more


@needs_wandb
def test_online_a_resumed_run_goes_on_and_nothing_is_sent_twice(plain, desk):
    with serve() as server:
        words = (*TINY, "logger=wandb", "logger.mode=online", "logger.every=3")
        where = ("paths.results=online",)
        printed = stop_and_resume((*words, *where), desk, desk / "online", online(server))
        assert "W&B" not in printed
        record = record_in(desk, "online")
        assert results_of(record) == results_of(plain)
        run_id = only(server.runs)
        is_whole(server.history(run_id), record, 3)
        assert server.runs[run_id]["exitcode"] == 0
        assert server.runs[run_id]["groupName"] == "qm9/smoke"

        (record / "predictions.png").write_bytes(png())
        for _ in range(2):
            done = call(
                *("wandb", "sync", "mode=online", *where), cwd=desk, environment=online(server)
            )
            assert done.returncode == 0, done.stderr
        *same, picture = server.history(run_id)
        is_whole(same, record, 3)
        assert picture["predictions"]["_type"] == "image-file"
        assert len(server.files) >= 1


@pytest.mark.nightly
@needs_wandb
def test_a_server_that_falls_silent_costs_seconds(plain, desk):
    with serve() as server:
        words = (*TINY, "logger=wandb", "logger.mode=online", "paths.results=silent")
        process = start(*words, cwd=desk, environment=online(server))
        wait_for_epochs(process, desk / "silent", 2)
        server.silent.set()
        printed, errors = process.communicate(timeout=120)
        ended = time.time()
        assert (process.returncode, errors) == (0, "")
        record = record_in(desk, "silent")
        assert ended - (record / "DONE").stat().st_mtime < 12
        assert warnings_in(printed) == [printed.splitlines()[-1]]
        assert results_of(record) == results_of(plain)


def warnings_in(printed):
    return [line for line in printed.splitlines() if " is off: " in line]


@needs_wandb
@pytest.mark.parametrize(
    ("words", "environment", "needle"),
    gate(
        1,
        [
            ((), {}, "File exists"),
            (("logger.mode=online",), {"WANDB_API_KEY": KEY}, ""),
        ],
    ),
    ids=["no folder", "dead port"],
)
def test_what_goes_wrong_is_one_line_and_the_same_record(
    words, environment, needle, plain, tmp_path
):
    (tmp_path / "data").symlink_to((plain.parents[4] / "data").resolve())
    if not words:
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / ".wandb").write_text("in the way")
    begin = time.monotonic()
    done = call(
        *TINY,
        "logger=wandb",
        *words,
        cwd=tmp_path,
        environment=ENVIRONMENT | {"WANDB_BASE_URL": "http://127.0.0.1:9"} | environment,
    )
    assert time.monotonic() - begin < 60
    assert (done.returncode, done.stderr) == (0, "")
    assert needle in only(warnings_in(done.stdout))
    assert results_of(record_in(tmp_path, "results")) == results_of(plain)


@needs_tensorboard
def test_a_resumed_run_is_whole_in_tensorboard(plain, desk):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = (*TINY, "logger=tensorboard", "logger.every=3", "paths.results=board")
    assert "TensorBoard" not in stop_and_resume(words, desk, desk / "board")
    record = record_in(desk, "board")
    assert results_of(record) == results_of(plain)
    folder = desk / "board" / ".tensorboard" / RUN / record.name
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    scalars = {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }
    for number, line in enumerate(lines_of(record)):
        for key, value in epoch_values(line, DeltaM()).items():
            assert scalars[key][number] == (2 * number + 2, pytest.approx(value, rel=1e-6)), key
    steps = sorted({*range(3, 2 * EPOCHS + 1, 3), *range(2, 2 * EPOCHS + 1, 2)})
    for key in ("loss/mu", "weight/cv", "gram/homo", "cosine/mu/alpha", "method/reward"):
        assert [step for step, _ in scalars[key]] == steps
    for key, value in final_values(summary_of(record)).items():
        assert scalars[key] == [(2 * EPOCHS, pytest.approx(value, rel=1e-6))]
    assert {"about", "config", "environment"} <= set(events.Tags()["tensors"])
    (about,) = events.Tensors("about")
    assert b"Profile smoke, real data" in about.tensor_proto.string_val[0]


@pytest.mark.nightly
@needs_wandb
def test_the_training_process_never_imports_the_dashboard(tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    words = (*TINY, "method=ls", "logger=wandb", "trainer.epochs=1")
    done = call_without(["wandb"], *words, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[] 0", done


@pytest.mark.parametrize("logger", gate(1, ["wandb", "tensorboard"]))
def test_a_missing_package_is_named_before_anything_is_written(logger, tiny_data, tmp_path):
    (tmp_path / "data").symlink_to(tiny_data)
    code = (
        f"import sys; sys.modules[{logger!r}] = None\n"
        "from mtl_bench.cli import main\n"
        f"sys.exit(main({[*TINY, f'logger={logger}']!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.stdout, done.returncode) == ("", 2)
    assert f"pip install 'mtl_bench[{logger}]'" in only(done.stderr.splitlines())
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("words", "needle"),
    [
        ((), "mtl-bench wandb sync"),
        (("send",), "mtl-bench wandb sync"),
        (("sync", "mode=loud"), "mode=loud: must be one of offline, online"),
        (("sync", "nosuch=1"), "unknown setting nosuch=1"),
        (("sync", "every=0"), "every=0"),
        (("sync", "method=nosuch"), "there is no record to send"),
    ],
)
def test_mistakes_of_sync_are_one_line(words, needle, tmp_path):
    done = call("wandb", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert needle in only(done.stderr.splitlines())


def png():
    """One red pixel."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.new("RGB", (1, 1), (255, 0, 0)).save(stream, "png")
    return stream.getvalue()
