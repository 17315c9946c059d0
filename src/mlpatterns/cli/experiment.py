"""`mlpatterns experiment FILE`: finds the better arm from a table of outcomes, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.cli.output import say, table

if TYPE_CHECKING:
    from mlpatterns.analysis.experiment import ArmResult, Verdict

__all__ = ["command"]


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Outcomes: .csv with column names, or .parquet.")],
    unit: Annotated[str, typer.Option(help="The column of the user.")] = "unit",
    arm: Annotated[str, typer.Option(help="The column of the arm that the user was in.")] = "arm",
    value: Annotated[str, typer.Option(help="The column of the outcome: a number, or empty.")] = "value",
    per: Annotated[str | None, typer.Option(help="For a ratio: the column of its denominator.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of the time, for --until.")] = None,
    until: Annotated[str | None, typer.Option(help="Leave out rows from this time on.")] = None,
    control: Annotated[str | None, typer.Option(help="The arm to compare with. (default: the first)")] = None,
    weights: Annotated[
        str | None, typer.Option(help="Planned shares, such as a=60,b=40; checks whether the users by arm fit them.")
    ] = None,
    per_user: Annotated[str, typer.Option(help="To combine rows of a user: sum, mean, max, min, last, any.")] = "sum",
    missing: Annotated[str, typer.Option(help="How to count a user without a value: zero, left_out.")] = "zero",
    better: Annotated[str, typer.Option(help="Which is better: higher, lower.")] = "higher",
    alpha: Annotated[
        float, typer.Option(min=1e-6, max=0.49, help="The probability that equal arms are ever reported as different.")
    ] = 0.05,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare the arms of an experiment; exit 1 if the experiment is invalid, else 0.

    The unit is the user: each user has one value, and users who were in two arms are left out. The interval is a
    confidence sequence: it stays valid however often you look.
    """
    from mlpatterns.analysis.experiment import verdict_of
    from mlpatterns.analysis.srm import Period
    from mlpatterns.cli.experiment_table import Columns, outcomes_in, shares_in
    from mlpatterns.cli.tables import read_table

    for what, said, words in (
        ("--per-user", per_user, ("sum", "mean", "max", "min", "last", "any")),
        ("--missing", missing, ("zero", "left_out")),
        ("--better", better, ("higher", "lower")),
    ):
        if said not in words:
            raise typer.BadParameter(f"{what} must be one of {', '.join(words)}, not {said!r}")
    if (until is None) != (time is None):
        raise typer.BadParameter("--until and --time go together")
    names = Columns(unit, arm, value, per, time, until)
    read = read_table(file, texts=(unit, arm))
    outcomes, users, moved = outcomes_in(
        read, names, control=control, per_user=per_user, missing=missing, better=better
    )
    periods = [Period(users, shares_in(weights, users))] if weights is not None else []
    verdict = verdict_of([outcomes], periods, alpha=alpha)
    _print_json(verdict, users, moved) if json else _print(verdict, moved, checked=weights is not None)
    return 1 if verdict.state == "invalid" else 0


def _print_json(verdict: Verdict, users: Mapping[str, int], moved: int) -> None:
    import msgspec

    found = {**msgspec.to_builtins(verdict), "users": dict(users), "moved": moved}
    say(msgspec.json.format(msgspec.json.encode(found)).decode())


def _print(verdict: Verdict, moved: int, *, checked: bool) -> None:
    (metric,) = verdict.metrics
    heads = ("Arm", "Users", "Events", "Value", "Effect", "From", "To", "p", "No value", "Detectable", "Verdict")
    table(heads, [_row(arm, one) for arm, one in metric.arms.items()], heading=True)
    if moved:
        say(f"{moved} users were in two arms and are left out")
    say(f"users by arm: p = {verdict.srm_p:.2g}" if checked else "users by arm: not checked; give --weights to check")
    for warning in verdict.warnings:
        say(f"warning: {warning}")
    say(f"{verdict.state}: {verdict.says}")


def _row(name: str, one: ArmResult) -> tuple[str, ...]:
    figures = ("" if value is None else f"{value:.5g}" for value in (one.effect, one.lower, one.upper, one.p))
    detectable = "" if one.detectable is None else f"{one.detectable:.3g}"
    return (name, str(one.users), str(one.events), f"{one.value:.5g}", *figures, f"{one.missing:.1%}", detectable,
            one.conclusion)  # fmt: skip
