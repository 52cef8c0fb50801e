"""Let faults strike real runs: kills, signals, full disks, damaged files, no memory.

python -m tools.torture [faults=300] [each=12] [seed=0] [folder=torture] [data=data]
    [datasets=qm9,nyuv2,cityscapes] [methods=ls,taskforce,...] [mount=false] [output=FILE.json]

mount=true gives every run a small file system of its own, for a full and a read-only disk; that
takes root's rights. Ends with status 1 if a run was lost, a result differed or an end was unclear.
"""

import os
import shutil
import sys
from pathlib import Path

from mtl_bench.errors import MtlBenchError
from mtl_bench.files import write_json
from mtl_bench.words import parse_count, parse_settings
from tools.torture.campaign import Campaign, cells, prepare_data
from tools.torture.report import as_json, as_markdown

METHODS = "ls,dwa,mgda,nashmtl,igbv2,taskforce"


def main(words: list[str]) -> int:
    """Run the campaign and print its report."""
    settings = parse_settings(
        words,
        faults="300",
        each="12",
        seed="0",
        folder="torture",
        data="data",
        datasets="qm9,nyuv2,cityscapes",
        methods=METHODS,
        mount="false",
        output=None,
    )
    names = {key: str(settings[key]).split(",") for key in ("datasets", "methods")}
    folder = Path(str(settings["folder"]))
    if folder.exists():
        raise MtlBenchError(f"folder={folder} is there already: remove it or name another")
    prepare_data(folder / "data", names["datasets"], Path(str(settings["data"])) / "qm9")
    chosen = cells(names["datasets"], names["methods"])
    campaign = Campaign(folder, int(str(settings["seed"])), settings["mount"] == "true")
    report = campaign.run(chosen, parse_count(settings, "faults"), parse_count(settings, "each"))
    content = as_json(report)
    if settings["output"]:
        write_json(Path(settings["output"]), content)
    print(as_markdown(content))
    if report.clean:
        shutil.rmtree(folder)
    return 0 if report.clean else 1


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    try:
        sys.exit(main(sys.argv[1:]))
    except MtlBenchError as error:
        print(f"torture: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
