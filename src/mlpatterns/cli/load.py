"""`mlpatterns load URL`: an open-loop load test, or a search for the highest rate that a server sustains."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from mlpatterns.cli.flags import flag
from mlpatterns.cli.output import note, say
from mlpatterns.user_errors import SettingsError, UserError, WrongUse

if TYPE_CHECKING:
    from mlpatterns.load import Report, Target

__all__ = ["command", "parse_seconds"]

T = TypeVar("T")

SENT, WHEN, SHOWN, HOW = "What is sent", "When", "What is shown", "How"
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
RATE, DURATION, TRIAL = 50.0, "10s", "2s"


def command(
    url: Annotated[
        str, typer.Argument(help="The URL of the server, or of one request (then give --method or a body).")
    ] = "",
    sample: Annotated[
        bool, flag("Send the sample of /metadata. (default if none of these is given)", "--sample", panel=SENT)
    ] = False,
    method: Annotated[str | None, flag("The method of the request. (default: POST with a body)", panel=SENT)] = None,
    body: Annotated[Path | None, flag("A file to send unchanged as the body.", panel=SENT)] = None,
    data: Annotated[
        Path | None, flag('A CSV file; each request sends the next row, as {"data": [row]}.', panel=SENT)
    ] = None,
    header: Annotated[list[str] | None, flag("NAME: VALUE; may be repeated.", "--header", "-H", panel=SENT)] = None,
    targets: Annotated[Path | None, flag("A vegeta target file, instead of a URL.", panel=SENT)] = None,
    rate: Annotated[float | None, flag("Requests a second. (default: 50)", panel=WHEN)] = None,
    duration: Annotated[str | None, flag("E.g. 500ms, 30s, 2m. (default: 10s)", panel=WHEN)] = None,
    steps: Annotated[
        str | None, flag("Rates one after another, each for --duration, e.g. 100,200,400.", panel=WHEN)
    ] = None,
    scenario: Annotated[str | None, flag("load_test (100/s 60s) or circuit_breaker (1000/s 10s).", panel=WHEN)] = None,
    find_limit: Annotated[
        bool, flag("Find the highest rate that the server keeps up with.", "--find-limit", panel=WHEN)
    ] = False,
    p99: Annotated[
        str | None, flag("With --find-limit: the bound for the 99th percentile of latencies, e.g. 50ms.", panel=WHEN)
    ] = None,
    as_json: Annotated[bool, flag("Print JSON.", "--json", panel=SHOWN)] = False,
    html: Annotated[Path | None, flag("Write a page with charts to this file.", panel=SHOWN)] = None,
    success: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="Exit with 1 if less than this percentage of the answers is good.",
            rich_help_panel=SHOWN,
        ),
    ] = None,
    timeout: Annotated[
        str, flag("A request without an answer this long after its planned time has failed.", panel=HOW)
    ] = "30s",
    connections: Annotated[
        int, typer.Option(min=1, help="The most connections open at once.", rich_help_panel=HOW)
    ] = 10_000,
    ca: Annotated[Path | None, flag("File of the certificates to trust, for https.", panel=HOW)] = None,
    allow_remote: Annotated[
        bool, flag("Allow load on another machine. Load only machines of yours.", "--allow-remote", panel=HOW)
    ] = False,
) -> int:
    """Load a server at a rate that does not depend on its answers, and report latencies from the planned times.

    It loads only this machine, unless you give --allow-remote. Ctrl-C ends the load and prints its report.
    """
    _check_flags(locals())
    from mlpatterns.cli.load_targets import RequestFlags, chosen_targets
    from mlpatterns.load.files import read_targets

    options = {
        "request_timeout": parse_seconds(timeout), "connections": connections, "allow_remote": allow_remote, "ca": ca,
    }  # fmt: skip
    rates, seconds = _rates_and_seconds(rate, duration or (TRIAL if find_limit else None), steps, scenario)
    bound = None if p99 is None else parse_seconds(p99)
    if targets is not None:
        chosen = read_targets(targets)
    else:
        chosen = chosen_targets(url, RequestFlags(sample, method, body, data, header or []), allow_remote)
    if find_limit:
        return _limit(chosen, seconds, bound, as_json, options)
    if html is not None:
        _check_writable(html)
    report = _interruptible(lambda stop: _load(chosen, rates, seconds, stop, options))
    _show(report, as_json, html, url or str(targets))
    return int(success is not None and report.success * 100 < success)


def parse_seconds(text: str) -> float:
    """The seconds of a duration: a number with the unit ms, s, m or h; without a unit it is seconds.

    Raises:
        SettingsError: the text is not a duration.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?", text.strip())
    if found is None or not float(found[1]):
        raise SettingsError(f"{text!r} is not a duration; write one like 500ms, 30s or 2m")
    return float(found[1]) * UNITS[found[2] or "s"]


def _check_flags(given: dict[str, Any]) -> None:
    """Checks that the flags can be combined.

    Raises:
        SettingsError: two flags contradict each other, or there is nothing to load.
    """
    if bool(given["url"]) == bool(given["targets"]):
        raise SettingsError("give the URL of what to load, or --targets FILE")
    for names in (("sample", "body", "data", "targets"), ("rate", "steps", "scenario", "find_limit")):
        both = [f"--{name.replace('_', '-')}" for name in names if given[name]]
        if len(both) > 1:
            raise SettingsError(f"{' and '.join(both)} contradict each other; give one of them")
    if given["targets"] and (given["method"] or given["header"]):
        raise SettingsError("the file of --targets gives the methods and headers; leave --method and --header out")
    if given["p99"] and not given["find_limit"]:
        raise SettingsError("--p99 is a bound of --find-limit; give both")
    if given["find_limit"] and (given["html"] or given["success"]):
        raise SettingsError("--find-limit makes no page and checks no goal; leave --html and --success out")


def _rates_and_seconds(
    rate: float | None, duration: str | None, steps: str | None, scenario: str | None
) -> tuple[float | list[float], float]:
    from mlpatterns.load.scenarios import scenario as named

    if scenario is not None:
        chosen = named(scenario)
        return chosen.rate, parse_seconds(duration) if duration else chosen.seconds
    seconds = parse_seconds(duration or DURATION)
    if steps is None:
        return RATE if rate is None else rate, seconds
    try:
        return [float(each) for each in steps.split(",")], seconds
    except ValueError:
        raise SettingsError(f"{steps!r} are not rates; write them like 100,200,400") from None


async def _load(targets: list[Target], rate: Any, seconds: float, stop: asyncio.Event, options: Any) -> Report:
    from mlpatterns.load import attack

    return await attack(targets, rate=rate, seconds=seconds, stop=stop, **options)


def _interruptible(work: Callable[[asyncio.Event], Coroutine[Any, Any, Report]]) -> Report:
    """Runs a load that SIGINT and SIGTERM stop early; the report is made in any case."""

    async def main() -> Report:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        try:
            return await work(stop)
        finally:  # a second Ctrl-C ends what follows
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    return _run(main())


def _run(main: Coroutine[Any, Any, T]) -> T:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def _check_writable(file: Path) -> None:
    """Checks that `file` can be written, before a load that can take minutes."""
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise WrongUse(f"{file} cannot be written: it is a folder, or its folder does not exist; give --html a file")


def _show(report: Report, as_json: bool, html: Path | None, title: str) -> None:
    from mlpatterns.load.page import as_page
    from mlpatterns.load.report import as_json as to_json
    from mlpatterns.load.text import as_text

    say(to_json(report).decode() if as_json else as_text(report))
    if html is not None:
        try:
            html.write_text(as_page(report, title), encoding="utf-8")
        except OSError as error:
            raise UserError(f"{html} cannot be written: {error.strerror}") from error
        note(f"the page is in {html}")


def _limit(targets: list[Target], seconds: float, p99: float | None, as_json: bool, options: Any) -> int:
    import msgspec

    from mlpatterns.load.limit import find_limit
    from mlpatterns.load.text import limits_text, trial_text

    work = find_limit(targets, seconds=seconds, p99=p99, told=lambda trial: note(trial_text(trial)), **options)
    found = _run(work)
    say(msgspec.json.format(msgspec.json.encode(found)).decode() if as_json else limits_text(found))
    return 0
