"""Slurm's commands as far as submitit uses them, for a cluster of this machine alone.

A job is begun again as often as scontrol asks for it. Its folder holds the script that was
submitted, a log of every job, and a mark for every job that has ended.
"""

import os
import sys
from pathlib import Path

SBATCH = """
import os, re, subprocess, sys
from pathlib import Path

script, number = Path(sys.argv[1]), str(os.getpid())
folder = Path(os.environ["FAKE_SLURM"])
text = script.read_text()
(folder / "script.sh").write_text(text)
array = re.search(r"^#SBATCH --array=0-([0-9]+)", text, re.MULTILINE)
for task in range(int(array[1]) + 1) if array else [None]:
    name, given = number, {"SLURM_JOB_ID": number, "SLURM_PROCID": "0"}
    if task is not None:
        name += f"_{task}"
        given |= {"SLURM_ARRAY_JOB_ID": number, "SLURM_ARRAY_TASK_ID": str(task)}
    again = folder / f"requeued-{name}"
    job = f"while bash {script}; [ -e {again} ]; do rm {again}; done; touch {folder}/ended-{name}"
    with (folder / f"log-{name}").open("a") as log:
        subprocess.Popen(["bash", "-c", job], env=os.environ | given, stdout=log, stderr=log)
print("Submitted batch job", number)
"""
SRUN = """
import os, sys

words = sys.argv[1:]
while words[0].startswith("-"):
    words = words[1 if "=" in words[0] or words[0] == "--unbuffered" else 2 :]
os.execv(words[0], words)
"""
SCONTROL = """
import os, sys
from pathlib import Path

assert sys.argv[1] == "requeue"
(Path(os.environ["FAKE_SLURM"]) / f"requeued-{sys.argv[2]}").touch()
"""
SACCT = """
import os
from pathlib import Path

print("JobID|State|NodeList")
for path in Path(os.environ["FAKE_SLURM"]).glob("ended-*"):
    print(path.name.removeprefix("ended-") + "|OUT_OF_MEMORY|here")
"""


def make_slurm(folder: Path) -> dict[str, str]:
    """Write the commands and return what of the environment makes them found."""
    commands = {"sbatch": SBATCH, "srun": SRUN, "scontrol": SCONTROL, "sacct": SACCT}
    for name, text in commands.items():
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{text}")
        path.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "FAKE_SLURM": str(folder)}
