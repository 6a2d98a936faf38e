"""The command line. Every command imports what it needs when it is called, so help is quick."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hwnas.cli import hardware, predict
from hwnas.cli.arguments import AsJson, Budget, Directory, Gain, Quiet, Storage, Workers

if TYPE_CHECKING:
    from hwnas.session import Session

app = typer.Typer(
    name="hwnas",
    help="Which network, at which bit widths, on which accelerator? Answered with a Pareto front.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from hwnas import __version__

        typer.echo(f"hwnas {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A study: YAML, or Python with def study().")],
    directory: Annotated[
        Optional[Path], typer.Option("--dir", metavar="DIR", help="Default: runs/NAME.")
    ] = None,
    budget: Budget = None,
    gain: Gain = None,
    seed: Annotated[
        Optional[int], typer.Option("--seed", metavar="S", help="Replaces the study's seed.")
    ] = None,
    searcher: Annotated[
        Optional[str], typer.Option("--searcher", metavar="NAME", help="Replaces the searcher.")
    ] = None,
    workers: Workers = None,
    storage: Storage = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; removes the old run.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run a study; the same command again goes on, or shows the result.

    Ends with the Pareto front as a table, and report.html, front.csv and front.json in the run
    directory. Ctrl-C stops it; nothing that was measured is lost.
    """
    from hwnas.cli.running import changes_of, finish
    from hwnas.session import start

    changes = changes_of(budget=budget, gain=gain, seed=seed, searcher=searcher, workers=workers)
    session = start(file, directory=directory, changes=changes, storage=storage, fresh=fresh)
    finish(session, as_json=as_json, quiet=quiet)


@app.command()
def resume(
    directory: Directory,
    budget: Budget = None,
    gain: Gain = None,
    workers: Workers = None,
    storage: Storage = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was stopped, killed, or is to get a larger budget."""
    from hwnas.cli.running import changes_of, finish
    from hwnas.session import reopen

    changes = changes_of(budget=budget, gain=gain, workers=workers)
    finish(reopen(directory, changes=changes, storage=storage), as_json=as_json, quiet=quiet)


@app.command()
def front(
    directory: Directory,
    form: Annotated[
        str, typer.Option("--format", metavar="table|json|csv", help="How to print it.")
    ] = "table",
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Print the Pareto front of a run, finished or not. CSV and JSON are in SI units."""
    from hwnas.cli.display import plain_console
    from hwnas.cli.tables import front_table, rung_table
    from hwnas.errors import HwnasError

    study = _open(directory, storage).study
    found = study.front()
    form = "json" if as_json else form
    if form == "json":
        typer.echo(json.dumps(found.to_json(), indent=1))
    elif form == "csv":
        typer.echo(found.table().to_csv(index=False), nl=False)
    elif form == "table":
        plain_console().print(front_table(found))
        if study.history.rungs:
            plain_console().print(rung_table(study.history.rungs))
    else:
        raise HwnasError(
            f"there is no format {form!r}", where="--format", rule="table, json or csv", given=form
        )


@app.command()
def report(directory: Directory, storage: Storage = None) -> None:
    """Write report.html, front.csv and front.json of a run, finished or not."""
    from hwnas.report import write_report

    session = _open(directory, storage)
    written = write_report(session.study, directory)
    for path in (written.report, written.csv, written.json):
        typer.echo(str(path))


@app.command()
def compare(
    study: Annotated[Path, typer.Argument(help="A study: YAML, or Python with def study().")],
    searchers: Annotated[
        str,
        typer.Option(
            "--searchers",
            metavar="A,B,...",
            help="The others are tested against the first; with options: nsga2:population=50.",
        ),
    ],
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", help="Runs of each, seeds from 0.")
    ] = 10,
    budget: Annotated[
        Optional[int],
        typer.Option("--budget", metavar="N", help="Evaluations of each run; else the study's."),
    ] = None,
    directory: Annotated[
        Optional[Path], typer.Option("--dir", metavar="DIR", help="Default: runs/compare/NAME.")
    ] = None,
    jobs: Annotated[
        Optional[int],
        typer.Option("--jobs", metavar="J", help="Runs at once; as many as there are cores."),
    ] = None,
    checkpoints: Annotated[
        Optional[str],
        typer.Option("--checkpoints", metavar="N,N,...", help="Where hypervolumes are told."),
    ] = None,
    exact: Annotated[
        Optional[bool],
        typer.Option(
            "--exact/--no-exact",
            help="Relate to the exact front, for which everything costly is measured (tables); "
            "without either: where nothing is costly.",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start anew; removes the old runs.")
    ] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare searchers on one study, several seeds each; the same command again goes on.

    Ends with hypervolumes, how quickly they were reached, what the searchers themselves cost and
    a paired test, as tables and in comparison.html, .json and .csv. More seeds, searchers or
    budget add to what is there. The box of the hypervolume is fixed with the first result.
    """
    from hwnas.cli.comparing import Wanted, run_comparison

    wanted = Wanted(study, searchers, seeds, budget, directory, jobs, checkpoints, exact, fresh)
    if not run_comparison(wanted, as_json=as_json, quiet=quiet):
        raise typer.Exit(2)


@app.command()
def exact(
    file: Annotated[
        Path, typer.Argument(help="A study: YAML, or Python with def study().", metavar="STUDY")
    ],
    measure_costly: Annotated[
        bool,
        typer.Option(
            "--measure-costly",
            help="Ask costly evaluators about every design they can tell apart: for tables.",
        ),
    ] = False,
    directory: Annotated[
        Optional[Path], typer.Option("--dir", metavar="DIR", help="Default: runs/exact/NAME.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute the exact Pareto front of a study, where its structure allows it.

    Says how it was obtained, prints the front, and writes front.csv and front.json. Where no
    method applies it says why, for each, and ends with exit code 2.
    """
    from hwnas.cli.exacting import show_exact

    show_exact(file, directory, measure_costly=measure_costly, as_json=as_json)


@app.command()
def dashboard(
    directory: Directory,
    port: Annotated[int, typer.Option(help="0 takes any free port.")] = 8080,
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    storage: Storage = None,
) -> None:
    """Watch a run in optuna-dashboard, on this machine only."""
    from hwnas.dashboard import serve
    from hwnas.rundir import RunDirectory

    serve(RunDirectory(directory).storage(storage), host=host, port=port)


@app.command("list")
def list_(
    kind: Annotated[
        Optional[str],
        typer.Argument(help="The kind, e.g. evaluators, exports, second_opinions or tables."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the plug-ins that are installed, with one line each, and the tables of costs."""
    from hwnas.cli.listing import list_plugins

    list_plugins(kind, as_json=as_json)


@app.command()
def show(
    directory: Directory,
    number: Annotated[
        Optional[str],
        typer.Argument(help="A design's number; the first of the front if left out."),
    ] = None,
    file: Annotated[
        Optional[Path],
        typer.Argument(help="With --html: the page; design-NUMBER.html in DIR if left out."),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write a page with pictures, and print where it is.")
    ] = False,
    as_json: AsJson = False,
    storage: Storage = None,
) -> None:
    """Show one design: genes, measurements, layers, bits, and where its cost comes from."""
    from hwnas.cli.inspecting import show_design

    study = _open(directory, storage).study
    show_design(study, number, as_json=as_json, html=html, file=file, folder=directory)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A YAML study.")], as_json: AsJson = False
) -> None:
    """Check a study file without running it, and print the size of its space."""
    from hwnas.cli.inspecting import show_plan
    from hwnas.studyfile import load

    show_plan(load(file), as_json=as_json)


@app.command()
def check(
    kind: Annotated[str, typer.Argument(help="space, evaluator, predictor or searcher.")],
    name: Annotated[str, typer.Argument(help="The plug-in's name.")],
    option: Annotated[
        Optional[list[str]],
        typer.Option("--option", "-o", metavar="KEY=VALUE", help="An option of the plug-in."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the conformance suite on a plug-in, e.g. one of yours."""
    from hwnas.cli.checking import check_plugin

    if not check_plugin(kind, name, option or [], as_json=as_json):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON schema of study files, for completion in editors."""
    from hwnas.studyfile import schema as study_schema

    typer.echo(json.dumps(study_schema(), indent=1))


def _open(directory: Path, storage: str | None) -> Session:
    from hwnas.session import reopen

    return reopen(directory, storage=storage)


app.command("export")(hardware.export_)
app.command()(hardware.verify)
app.command()(hardware.calibrate)
app.add_typer(predict.app, name="predict")


def main() -> None:
    """Runs the command line; errors on purpose become a message and an exit code."""
    from hwnas.errors import HwnasError

    try:
        app()
    except HwnasError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: Any) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    head, _, rest = str(error).partition("\n")
    console.print(Text("error: ", "bold red") + Text(head, "bold"))
    if rest:
        console.print(Text(rest))
