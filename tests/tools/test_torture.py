"""The campaign's own judgement: it must be able to find what it looks for."""

import json
from collections import Counter
from random import Random

import pytest
import torch

from mtl_bench.training.run import run
from tests.training.runs import config_of
from tools.torture.attempts import judge
from tools.torture.campaign import Report
from tools.torture.compare import differences, fingerprint
from tools.torture.faults import cut, empty, flip, remove
from tools.torture.report import as_json, as_markdown

LINE = "mtl-bench: disk full\n"
TRACEBACK = "Traceback (most recent call last):\nmtl-bench: x\n"


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (0, "", "finished"),
        (75, LINE, "stopped"),
        (1, LINE, "refused"),
        (2, LINE, "refused"),
        (-9, "", "killed"),
        (1, "Traceback\nKeyboardInterrupt", "killed"),
        (1, TRACEBACK, "unclear"),
        (1, LINE + LINE, "unclear"),
        (1, "", "unclear"),
        (3, LINE, "unclear"),
    ],
)
def test_how_an_attempt_ended(status, text, kind):
    assert judge(status, text).kind == kind


def test_any_difference_is_found(tiny_data, tmp_path):
    config = config_of(tiny_data, tmp_path, "method=taskforce", "trainer.epochs=1")
    record = run(config).path
    before = fingerprint(record)
    assert differences(before, fingerprint(record)) == []

    summary = json.loads((record / "summary.json").read_text())
    summary["metrics"]["last"]["mu"]["mae"] *= 1 + 1e-15
    (record / "summary.json").write_text(json.dumps(summary))
    assert differences(before, fingerprint(record)) == ["summary"]

    last = record / "checkpoint" / "last.pt"
    content = torch.load(last, weights_only=True)
    next(iter(content["state"]["network"].values())).view(-1)[0] += 1e-6
    torch.save(content, last)
    assert differences(before, fingerprint(record)) == ["summary", "state"]

    (part,) = (record / "steps").iterdir()
    part.write_bytes(part.read_bytes()[:-1])
    assert fingerprint(record)["rows"] is None


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_damage_is_damage(damage, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(100)))
    damage(path, Random(0))
    assert path.read_bytes() != bytes(range(100))
    remove(path, Random(0))
    assert not path.exists()


def test_the_report_names_what_is_wrong():
    faults = Counter({("SIGKILL", "killed"): 2, ("SIGTERM", "stopped"): 1})
    report = Report(seed=4, faults=faults, runs=1, lost=["dataset=qm9: gone"])
    assert not report.clean
    content = as_json(report)
    assert content["faults"] == 3
    shown = as_markdown(content)
    assert "1 lost, 0 different, 0 unclear" in shown
    assert "- lost: dataset=qm9: gone" in shown
    assert Report(seed=0).clean
