"""What launchers carry out in place of trainings; their processes import it by name."""

import os
import signal
import time
from pathlib import Path

from mtl_bench.launch.cell import SweepRun
from mtl_bench.signals import StopRequest


def finish(overrides, slot):
    """Leave a file that tells which process and slot it was."""
    folder, name = overrides[0].split("=")[1], overrides[-1]
    Path(folder, name).write_text(f"{os.getpid()} {slot}")
    return SweepRun(overrides, name, "finished", None)


def kill_the_second(overrides, slot):
    """Die as the kernel lets a process die that takes too much memory; be slow otherwise."""
    if overrides[-1] == "seed=1":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(1)
    return finish(overrides, slot)


def raise_in_the_second(overrides, slot):
    """Fail as no task should."""
    if overrides[-1] == "seed=1":
        raise SystemExit(3)
    return finish(overrides, slot)


def save_when_told(overrides, slot):
    """Work until a request to stop comes, then take a while to save."""
    begun = Path(overrides[0].split("=")[1], f"begun-{overrides[-1]}")
    with StopRequest() as stop:
        begun.write_text(str(os.getpid()))
        while stop.name is None:
            time.sleep(0.05)
        time.sleep(0.2 + 0.5 * slot)
        begun.with_name(f"saved-{overrides[-1]}").touch()
    return SweepRun(overrides, None, "interrupted", f"{stop.name}: stopped")


def save_forever(overrides, slot):
    """Come to no end."""
    Path(overrides[0].split("=")[1], f"begun-{overrides[-1]}").write_text(str(os.getpid()))
    with StopRequest():
        while True:
            time.sleep(1)


def tell_settings(overrides, slot):
    """Answer with what the process was given."""
    return SweepRun(overrides, None, "finished", os.environ["OMP_NUM_THREADS"])


def tell_gpu(overrides, slot):
    """Answer with what the process may see, and in which slot it is."""
    return SweepRun(overrides, None, "finished", f"{os.environ['CUDA_VISIBLE_DEVICES']}/{slot}")


def time_out_always(overrides, slot):
    """Be told of the time limit in the midst of the work, which ends the process if not held."""
    folder = Path(overrides[0].split("=")[1])
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGUSR2)
        (folder / f"told-{overrides[-1]}-{os.getpid()}").touch()
    return SweepRun(overrides, None, "interrupted", f"{stop.name}: stopped")


def time_out_once(overrides, slot):
    """Be told of the time limit at first, and finish the second time."""
    folder = Path(overrides[0].split("=")[1])
    again = any(folder.glob(f"told-{overrides[-1]}-*"))
    return (finish if again else time_out_always)(overrides, slot)


def wait_for_a_file(overrides, slot):
    """Take as long as somebody wants."""
    folder = Path(overrides[0].split("=")[1])
    (folder / "begun").touch()
    while not (folder / "enough").exists():
        time.sleep(0.05)
    return finish(overrides, slot)
