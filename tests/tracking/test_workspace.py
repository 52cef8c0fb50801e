"""The project's dashboard as JSON, without a network and without a key."""

import json
import subprocess
import sys
from importlib.util import find_spec

import pytest

from mtl_bench.scores import DeltaM
from tests.end_to_end.processes import ENVIRONMENT, ROOT
from tests.records.control import write_control
from tests.records.synthetic import SCENE_TASKS, write_record

pytestmark = pytest.mark.skipif(not find_spec("wandb_workspaces"), reason="needs the extra wandb")

SCRIPT = ROOT / "scripts" / "wandb_dashboard.py"
WITHOUT_KEY = {key: value for key, value in ENVIRONMENT.items() if not key.startswith("WANDB")}


def call(*words, cwd):
    nowhere = WITHOUT_KEY | {"HOME": str(cwd), "WANDB_BASE_URL": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words], cwd=cwd, env=nowhere, capture_output=True, text=True
    )


def sections_of(*words, cwd):
    done = call(*words, "--json", cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    view = json.loads(done.stdout)
    sections = view["spec"]["section"]["panelBankConfig"]["sections"]
    return view, {section["name"]: section["panels"] for section in sections}


def keys_of(panels):
    return [key for panel in panels for key in panel["config"]["metrics"]]


def test_the_dashboard_of_a_data_set_with_records(tmp_path):
    metrics = {"semantic": {"miou": 50.0}, "depth": {"abs": 0.5}}
    for label in ("ls", "taskforce"):
        write_record(
            tmp_path / "results", label, 0, dataset="nyuv2", tasks=SCENE_TASKS, values=metrics
        )
    view, sections = sections_of("dataset=nyuv2", "entity=me", "project=p", cwd=tmp_path)
    assert (view["entity"], view["project"]) == ("me", "p")
    (runs,) = view["spec"]["section"]["runSets"]
    assert runs["grouping"] == [{"section": "config", "name": "label.value"}]
    (filtered,) = runs["filters"]["filters"]
    assert filtered["key"] == {"section": "run", "name": "tags"}
    assert (filtered["op"], filtered["value"]) == ("IN", ["nyuv2"])
    assert list(sections) == [
        "Δm against the published STL",
        "Metrics",
        "Training losses",
        "Weights",
        "Cosines of task gradients",
        "Squared norms of task gradients",
        "TaskForce: rewards and agents",
        "Cost",
    ]
    assert keys_of(sections["Metrics"]) == [
        f"{split}/{metric}"
        for split in ("validation", "test")
        for metric in ("semantic/miou", "depth/abs")
    ]
    assert sections["Metrics"][0]["config"]["chartTitle"] == "validation Seg miou [%] ↑"
    assert keys_of(sections["Weights"]) == ["weight/semantic", "weight/depth"]
    assert keys_of(sections["Cosines of task gradients"]) == ["cosine/semantic/depth"]
    assert keys_of(sections["Squared norms of task gradients"]) == ["gram/semantic", "gram/depth"]
    assert {"method/reward", "method/td_error"} <= {
        *keys_of(sections["TaskForce: rewards and agents"])
    }
    assert {"seconds/method", "final/seconds/train_epoch"} <= {*keys_of(sections["Cost"])}
    assert f"final/best_val/{DeltaM.panel}" in keys_of(sections["Δm against the published STL"])


def test_without_records_panels_go_by_patterns(tmp_path):
    _, sections = sections_of("dataset=qm9", "entity=me", cwd=tmp_path)
    patterns = [panel["config"]["metricRegex"] for panel in sections["Metrics"]]
    assert patterns == ["^validation/", "^test/"]
    assert sections["Weights"][0]["config"]["metricRegex"] == "^weight/"


def test_what_it_needs_to_know_is_said(tmp_path):
    done = call("dataset=qm9", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "wandb_dashboard: give dataset=NAME and entity=ACCOUNT_OR_TEAM\n"
    assert list(tmp_path.iterdir()) == []


def test_the_dashboard_of_environments_is_about_success(tmp_path):
    write_control(tmp_path / "results", "ls", 0)
    _, sections = sections_of("dataset=pendulum6", "entity=me", cwd=tmp_path)
    assert next(iter(sections)) == "success"
    assert "final/last/success" in keys_of(sections["success"])
    assert not any("Δm" in name for name in sections)
    assert keys_of(sections["Weights"]) == [
        f"weight/{component}/{task}"
        for task in ("near", "far")
        for component in ("actor", "critic")
    ]
    assert "train_loss/critic/far" in keys_of(sections["Training losses"])
    assert "cosine/actor/near/far" in keys_of(sections["Cosines of task gradients"])
    assert "method/critic/reward" in keys_of(sections["TaskForce: rewards and agents"])
