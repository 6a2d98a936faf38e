"""Commands about predictors: score them on a table or a run, fit one, and let it predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from hwnas.cli.arguments import AsJson, Quiet, Storage

app = typer.Typer(
    help="Predictors on any table or run: how good they are, fit one, predict with it.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_Source = Annotated[
    Path, typer.Argument(help="A table (CSV, parquet) or a run directory.", metavar="SOURCE")
]
_Predicts = Annotated[
    str, typer.Option("--predicts", metavar="METRIC", help="The column or metric to predict.")
]
_Features = Annotated[
    Optional[str],
    typer.Option(
        "--features",
        metavar="COLUMN,...",
        help="Columns, with * for any letters; of a run also metrics or parts. "
        "All that make sense if left out.",
    ),
]
_Option = Annotated[
    Optional[list[str]],
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="An option of the predictor, as in YAML; NAME.KEY=VALUE where there are several.",
    ),
]
_Predictors = Annotated[
    str,
    typer.Option("--predictor", metavar="A,B,...", help="hwnas list predictors shows them."),
]
_Folds = Annotated[int, typer.Option("--folds", metavar="K", help="Parts of the samples.")]
_Seeds = Annotated[int, typer.Option("--seeds", metavar="N", help="Repetitions, seeds from 0.")]
_USUAL = "boosted_trees"


@app.command()
def score(
    source: _Source,
    predicts: _Predicts,
    predictor: _Predictors = _USUAL,
    option: _Option = None,
    features: _Features = None,
    folds: _Folds = 5,
    seeds: _Seeds = 3,
    storage: Storage = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score predictors by cross-validation: ranks, errors, whether they know how sure they are."""
    from hwnas.cli.predicting import Asked, Source, score_predictors

    asked = Asked(predictor, tuple(option or ()), folds, seeds)
    read = Source(source, predicts, features, storage)
    score_predictors(read, asked, as_json=as_json, quiet=quiet)


@app.command()
def report(
    source: _Source,
    predicts: _Predicts,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="The page to write.")],
    predictor: _Predictors = _USUAL,
    option: _Option = None,
    features: _Features = None,
    folds: _Folds = 5,
    seeds: _Seeds = 3,
    storage: Storage = None,
    quiet: Quiet = False,
) -> None:
    """Write a page: predicted against measured, calibration, and what more samples would bring."""
    from hwnas.cli.predicting import Asked, Source, write_page

    asked = Asked(predictor, tuple(option or ()), folds, seeds)
    write_page(Source(source, predicts, features, storage), asked, html, quiet=quiet)


@app.command()
def fit(
    source: _Source,
    predicts: _Predicts,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Where the predictor goes.")],
    predictor: Annotated[
        str, typer.Option("--predictor", metavar="NAME", help="hwnas list predictors shows them.")
    ] = _USUAL,
    option: _Option = None,
    features: _Features = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a predictor that is there already.")
    ] = False,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Fit a predictor, and keep its examples and its recipe in a directory.

    No object is frozen: whoever uses the directory fits the predictor anew from its examples,
    which gives the same one, and runs no code that somebody else wrote.
    """
    from hwnas.cli.predicting import Source, fit_predictor

    read = Source(source, predicts, features, storage)
    fit_predictor(read, predictor, option or [], to, force=force, as_json=as_json)


@app.command()
def apply(
    directory: Annotated[Path, typer.Argument(help="What hwnas predict fit wrote.", metavar="DIR")],
    source: _Source,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", metavar="FILE", help="A CSV file; standard output if left out."),
    ] = None,
    storage: Storage = None,
) -> None:
    """Predict for the rows of a table, as CSV: row, expected value, standard deviation.

    Rows that lack a feature, or have a text that no example had, are left empty and counted.
    """
    from hwnas.cli.predicting import apply_predictor

    apply_predictor(directory, source, out, storage)
