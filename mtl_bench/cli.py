"""The command line. Heavy packages are imported by the commands that need them."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name

from mtl_bench import __version__
from mtl_bench.config.groups import GROUPS, describe_group
from mtl_bench.errors import (
    DataError,
    MtlBenchError,
    UnwritableError,
    describe_refusal,
    was_interrupted,
)
from mtl_bench.files import printable
from mtl_bench.usage import describe_words, examples
from mtl_bench.words import parse_count, parse_positive, parse_settings

EPILOG = """examples:
  mtl-bench data prepare qm9
  mtl-bench train dataset=qm9 method=taskforce profile=mini seed=0
  mtl-bench train -m dataset=qm9 method=ls,mgda,taskforce profile=mini seed=0,1,2
  mtl-bench tables profile=mini

`mtl-bench COMMAND --help` has examples of each."""

ELSEWHERE = {
    "train": "paths.results=DIR",
    "data": "paths.data=DIR",
    "tables": "paths.tables=DIR",
    "export": "--to FILE",
    "report": "output=FILE",
    **dict.fromkeys(("figures", "toy", "game"), "paths.figures=DIR"),
}
"""Settings that name another place to write to."""

LOADING = frozenset({"train", "config", "show", "eval", "export", "replay", "toy", "game", "grams"})
"""Commands that import torch."""

OF_A_RUN = frozenset({"show", "eval", "export", "replay"})

SETTINGS = {
    "data": "source=…, paths.data=DIR",
    "status": "profile=, dataset=, method=, paths.results=DIR",
    "tables": "names: table3, costs, weights, agents, triad, against_ls, …; settings: profile=, "
    "dataset=, method=, seed=, selection=, baseline=published, format=csv, paths.tables=DIR",
    "figures": "names: figure2, curves, score, …; settings: profile=, dataset=, method=, seed=, "
    "selection=, paths.figures=DIR",
    "show": "samples=4, frames=6, between=TASK, paths.data=DIR",
    "eval": "tolerance=1e-4, paths.data=DIR, trainer.device=cpu",
    "export": "rule=best_val or rule=last",
    "replay": "step=N, paths.data=DIR",
    "report": "profile=, output=FILE, paths.results=DIR",
    "toy": "landscape=front or landscape=valley, steps=N, paths.figures=DIR",
    "game": "steps=6000, seeds=5, paths.figures=DIR",
    "grams": "steps=6000, seeds=3, only=maddpg,bandit, paths.results=DIR",
    "wandb": "sync, then profile=, dataset=, method=, mode=online, project=, entity=, every=10",
}
"""What KEY=VALUE can be."""

HELP = frozenset({"-h", "--help"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0 done, 1 failed, 2 bad input, 75 interrupted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an ASCII terminal must not fail on Δ
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--to" in words[:-1]:  # the only option with a value
        place = words.index("--to")
        words[place : place + 2] = [f"--to={words[place + 1]}"]
    # argparse takes no KEY=VALUE after an option that follows one
    words[1:] = sorted(words[1:], key=lambda word: not word.startswith("-"))
    options = _parser(words).parse_args(words)
    command: Callable[[argparse.Namespace], int] = options.command
    first = os.environ.get("RANK", "0") == "0"  # of those that torchrun has started
    if options.loads and first and sys.stderr.isatty():  # a second or more of silence otherwise
        print("mtl-bench: loading torch ...", file=sys.stderr, flush=True)
    try:
        return command(options)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe (head, less) has left
        return 0
    except (KeyboardInterrupt, Exception) as error:
        if was_interrupted(error):
            print("mtl-bench: interrupted; the same command continues", file=sys.stderr)
            return 75
        if "debug=true" in words:
            raise
        if isinstance(error, UnwritableError) and options.elsewhere:
            error = UnwritableError(f"{error} or give {options.elsewhere}")
        if isinstance(error, MtlBenchError):
            if not error.told:
                print(printable(f"mtl-bench: {error}"), file=sys.stderr)
            return error.exit_status
        if isinstance(error, OSError | MemoryError):
            print(printable(f"mtl-bench: {describe_refusal(error)}"), file=sys.stderr)
            return 1
        raise


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mtl-bench",
        description="Benchmarks of multi-task optimisation. Every number comes from a record.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    for name, about, command in (
        ("train", "train a run or a sweep; skip finished runs, resume interrupted ones", _train),
        ("config", "show a run's resolved configuration, and where each value comes from", _config),
        ("data", "prepare, generate or verify a data set", _data),
        ("list", "list the choices of a group", _list),
        ("status", "show which runs are finished, running, interrupted or failed", _status),
        ("tables", "print tables of the results", _tables),
        ("figures", "draw figures of the results as PNG and SVG", _figures),
        ("show", "draw a run's predictions on test images, or an episode", _show),
        ("eval", "compute a run's test metrics again from its network, and compare", _eval),
        ("export", "write a run's network as safetensors", _export),
        ("replay", "repeat an update of a run and find out where it failed", _replay),
        ("completion", "print a script that completes words in a shell", _completion),
        ("report", "write an HTML page with all runs of a profile", _report),
        ("toy", "draw every method's path on a two-task problem", _toy),
        ("game", "let TaskForce's agents play a game with a known optimum", _game),
        ("grams", "let agents play on the recorded Gram matrices of a run", _grams),
        ("wandb", "send records to Weights & Biases: wandb sync KEY=VALUE", _wandb),
    ):
        own = commands.add_parser(name, help=about)
        elsewhere, loads = ELSEWHERE.get(name), name in LOADING
        own.set_defaults(command=command, elsewhere=elsewhere, loads=loads)
        if name in OF_A_RUN:
            own.add_argument("run", type=Path, help="folder of the run's record")
    train, config, data = (commands.choices[name] for name in ("train", "config", "data"))
    train.add_argument(
        "-m", "--multirun", action="store_true", help="sweep over values such as seed=0,1,2"
    )
    train.add_argument(
        "-n", "--dry-run", action="store_true", help="train nothing, list the runs that are missing"
    )
    form = config.add_mutually_exclusive_group()
    for name in ("yaml", "json"):
        form.add_argument(
            f"--{name}", action="store_const", const=name, dest="form", help=f"print {name.upper()}"
        )
    data.add_argument("action", choices=["prepare", "synth", "verify"])
    data.add_argument("name", metavar="DATASET", help="one of `mtl-bench list datasets`")
    commands.choices["list"].add_argument("what", choices=sorted(GROUPS))
    commands.choices["export"].add_argument("--to", type=Path, required=True, metavar="FILE")
    shell = commands.choices["completion"]
    shell.add_argument("shell", choices=["bash", "zsh", "words"], metavar="bash|zsh")
    shell.add_argument("line", nargs="?", default="", help=argparse.SUPPRESS)
    for name in commands.choices.keys() - {"list", "completion"}:
        metavar = "[NAME] KEY=VALUE" if name in ("tables", "figures") else "KEY=VALUE"
        commands.choices[name].add_argument(
            "settings", nargs="*", metavar=metavar, help=SETTINGS.get(name)
        )
    for name, each in commands.choices.items():
        each.formatter_class = argparse.RawDescriptionHelpFormatter
        each.epilog = examples(name)
    if words[:1] == ["train"] and not HELP.isdisjoint(words):  # it takes a look at every choice
        train.epilog = f"{describe_words()}\n\n{train.epilog}"
    return parser


def _handing_on(function: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that hands its words to ``module:function``, which is imported then."""
    return lambda options: resolve_name(f"mtl_bench.{function}")(options.settings) or 0


_figures = _handing_on("reporting.figures.command:run")
_toy, _game, _grams = (_handing_on(f"toy.command:{name}") for name in ("toy", "game", "grams"))
_wandb = _handing_on("tracking.sync:sync_command")


def _train(options: argparse.Namespace) -> int:
    from mtl_bench.launch.command import train

    return train(options.settings, multirun=options.multirun, dry_run=options.dry_run)


def _completion(options: argparse.Namespace) -> int:
    from mtl_bench.completion import SCRIPTS, complete

    shell = options.shell
    print("\n".join(complete(options.line)) if shell == "words" else SCRIPTS[shell])
    return 0


def _config(options: argparse.Namespace) -> int:
    from mtl_bench.config.origins import print_config

    print_config(options.settings, options.form)
    return 0


def _data(options: argparse.Namespace) -> int:
    from mtl_bench.datasets.commands import find_command, find_remedy

    command, settings = find_command(options.name, options.action)
    values = parse_settings(options.settings, paths__data="data", **settings)
    folder = Path(str(values.pop("paths.data"))) / options.name
    begin = time.monotonic()
    faults = command(folder, {k: v for k, v in values.items() if v is not None})
    if options.action != "verify":
        return 0
    for fault in faults:
        print(printable(fault), file=sys.stderr)
    if faults:
        count = f"{len(faults)} fault" + "s" * (len(faults) > 1)
        raise DataError(f"{folder} has {count}{find_remedy(options.name, folder)}")
    print(f"{folder} is complete and intact ({time.monotonic() - begin:.1f} s)")
    return 0


def _list(options: argparse.Namespace) -> int:
    choices = describe_group(GROUPS[options.what])
    width = max(map(len, choices), default=0)
    for name, description in choices.items():
        print(f"{name:<{width}}  {description.partition(': ')[2] or description}")
    return 0


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    from mtl_bench.records.reader import find_records
    from mtl_bench.reporting.advice import explain_no_records
    from mtl_bench.reporting.status import render_status

    settings = parse_settings(
        options.settings, profile=None, dataset=None, method=None, paths__results="results"
    )
    results = Path(str(settings.pop("paths.results")))
    console = Console()
    if records := find_records(results, **settings):
        console.print(render_status(records, console.width), soft_wrap=True)
    else:
        print(explain_no_records(results, settings))
    return 0


def _tables(options: argparse.Namespace) -> int:
    from mtl_bench.reporting.command import SETTINGS, tables

    words = options.settings
    tables(
        [word for word in words if "=" not in word],
        parse_settings([word for word in words if "=" in word], **SETTINGS),
    )
    return 0


def _report(options: argparse.Namespace) -> int:
    from mtl_bench.reporting.page.write import report

    allowed = {"profile": None, "output": None, "paths__results": "results"}
    print(report(parse_settings(options.settings, **allowed)))
    return 0


def _show(options: argparse.Namespace) -> int:
    from mtl_bench.inspect.episodes import film, film_between, learned_by_acting
    from mtl_bench.inspect.predict import predict_samples
    from mtl_bench.inspect.recorded_run import load_run
    from mtl_bench.reporting.pictures import draw_samples, draw_strips

    settings = parse_settings(
        options.settings, samples="4", frames="6", between=None, paths__data=None
    )
    data = settings["paths.data"]
    title = "/".join(options.run.resolve().parts[-4:])
    if learned_by_acting(load_run(options.run)):
        frames, between = parse_count(settings, "frames"), settings["between"]
        if between:
            picture = options.run / f"between_{between}.png"
            strips = film_between(options.run, frames, between)
        else:
            picture, strips = options.run / "episode.png", film(options.run, frames)
        draw_strips(picture, title, strips)
    else:
        picture = options.run / "predictions.png"
        samples, invalid, kind = predict_samples(
            options.run, parse_count(settings, "samples"), Path(data) if data else None
        )
        draw_samples(picture, f"{title} ({kind} data)", samples, invalid)
    print(picture)
    return 0


def _eval(options: argparse.Namespace) -> int:
    from mtl_bench.inspect.evaluate import recompute, render_recomputed

    settings = parse_settings(
        options.settings, tolerance="1e-4", paths__data=None, trainer__device=None
    )
    tolerance = parse_positive(settings, "tolerance")
    data = settings["paths.data"]
    found, missing = recompute(
        options.run, Path(data) if data else None, settings["trainer.device"]
    )
    print(render_recomputed(found, tolerance))
    for line in missing:
        print(printable(f"mtl-bench: {line}"), file=sys.stderr)
    return 1 if missing or any(each.difference > tolerance for each in found) else 0


def _export(options: argparse.Namespace) -> int:
    from mtl_bench.inspect.export import export_network
    from mtl_bench.inspect.recorded_run import load_run

    settings = parse_settings(options.settings, rule=None)
    export_network(load_run(options.run, device="cpu"), options.to, settings["rule"])
    print(options.to)
    return 0


def _replay(options: argparse.Namespace) -> int:
    from mtl_bench.inspect.replay import replay
    from mtl_bench.reporting.incident import render_replay

    settings = parse_settings(options.settings, step=None, paths__data=None)
    step = None if settings["step"] is None else parse_count(settings, "step")
    data = settings["paths.data"]
    found = replay(options.run, step, Path(data) if data else None)
    print(render_replay(options.run, found))
    return 1 if found.same is False else 0
