"""What is shown while something runs: pictures on terminals, few lines elsewhere, polite stops."""

from __future__ import annotations

import io
import logging
import signal

import pytest
from rich.console import Console
from rich.text import Text

from hwnas import Study
from hwnas.cli import display
from hwnas.cli.comparing import Watch as ComparisonWatch
from hwnas.cli.display import Display, plain_console, stopped_with
from hwnas.cli.live import Watch as StudyWatch
from hwnas.cli.tables import values_table
from hwnas.comparison import prepare
from hwnas.testing import toys


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(display, "time", clock)
    return clock


def paper(terminal=False):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=100, color_system=None, _environ={}
    )


def told(console):
    return console.file.getvalue()


def never():
    raise AssertionError("nobody looks at it")


def test_elsewhere_there_is_a_line_at_first_then_every_five_seconds_and_at_last(clock):
    console = paper()
    with Display(console) as shown:
        for second in range(12):
            clock.now = 100.0 + second
            shown.draw(lambda second=second: f"line {second}", never, last=second == 11)
    assert told(console).split("\n") == ["line 0", "line 5", "line 10", "line 11", ""]


def test_where_it_is_quiet_there_is_nothing(clock):
    for terminal in (False, True):
        console = paper(terminal)
        with Display(console, quiet=True, moving=never) as shown:
            shown.draw(never, never, last=True)
        assert told(console) == ""


def test_on_a_terminal_there_is_a_picture_and_no_line(clock):
    console = paper(terminal=True)
    with Display(console) as shown:
        shown.draw(never, lambda: Text("first picture"), last=False)
        shown.draw(never, lambda: Text("last picture"), last=True)
    assert "last picture" in told(console)


def test_a_picture_that_moves_by_itself_is_drawn_without_being_shown(clock):
    console = paper(terminal=True)
    with Display(console, moving=lambda: Text("moving")) as shown:
        shown.draw(never, None, last=False)
    assert "moving" in told(console)


def test_names_are_shown_as_they_are(clock):
    console = paper()
    with Display(console) as shown:
        shown.draw(lambda: "study [bold]: 1/2", never, last=True)
    assert told(console) == "study [bold]: 1/2\n"


def test_what_to_install_is_shown_with_its_extra(capsys):
    """Square brackets are no markup, neither in lines nor in tables."""
    cure = "pip install 'hwnas[torch]' :art:"
    for shown in (cure, values_table("title [red]", {"cure": cure})):
        plain_console().print(shown)
        plain_console(stderr=True).print(shown)
    printed = capsys.readouterr()
    for text in printed:
        assert text.count(cure) == 2
        assert "title [red]" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_study(terminal):
    study = Study(toys.joint(), "random", budget=8)
    console = paper(terminal)
    with StudyWatch(study, "trial", console) as watch:
        for standing in study.run():
            watch.show(standing)
    if terminal:
        assert "8/8 evaluations" in told(console)
        assert "best error" in told(console)
    else:
        last = told(console).splitlines()[-1]
        assert last.startswith("trial: 8/8 evaluations, ")


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_what_evaluators_log_is_said_while_a_study_runs(terminal, quiet):
    console = paper(terminal)
    logger = logging.getLogger("evaluators.some")
    before = logger.getEffectiveLevel()
    with StudyWatch(Study(toys.joint(), "random", budget=1), "trial", console, quiet=quiet):
        logger.info("supernet: %d of [red]%d steps", 100, 2000)
    logger.info("nobody hears this")
    assert logger.getEffectiveLevel() == before
    assert ("supernet: 100 of [red]2000 steps" in told(console)) is not quiet
    assert "nobody" not in told(console)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_comparison(tmp_path, terminal):
    contest = prepare(toys.tiny(), ["random"], seeds=2, budget=3, directory=tmp_path / "c", jobs=1)
    console = paper(terminal)
    with ComparisonWatch(contest, console) as watch:
        for outcome in contest.run():
            watch.show(outcome)
    if terminal:
        assert "2/2 runs over" in told(console)
    else:
        last = told(console).splitlines()[-1]
        assert last == "2/2 runs; the last one: random, seed 1, complete after 3 evaluations"


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_a_stop_says_how_to_go_on(number, kind):
    before = signal.getsignal(signal.SIGTERM)
    console = paper()
    with pytest.raises(kind) as caught, stopped_with("go on with: that [file]", console):
        signal.raise_signal(number)
    assert told(console) == "go on with: that [file]\n"
    assert signal.getsignal(signal.SIGTERM) is before
    if kind is SystemExit:
        assert caught.value.code == 143


def test_without_a_stop_nothing_is_said():
    console = paper()
    with stopped_with("go on", console):
        pass
    with pytest.raises(ValueError, match="mine"), stopped_with("go on", console):
        raise ValueError("mine")
    assert told(console) == ""
