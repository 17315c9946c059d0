"""`mlpatterns drift REF NOW`: tests whether the rows of a table have drifted from those of another."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlpatterns.cli.output import note, say, table
from mlpatterns.user_errors import TableError

if TYPE_CHECKING:
    from mlpatterns.analysis.columns import ColumnValues
    from mlpatterns.analysis.drift import Drift, FieldDrift

__all__ = ["command"]


def command(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="The earlier rows: .csv or .parquet.")],
    now: Annotated[Path, typer.Argument(metavar="NOW", help="The current rows, with the same columns.")],
    category: Annotated[
        list[str] | None, typer.Option(help="A column whose numbers are categories. May be repeated.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="A column to leave out. May be repeated.")] = None,
    alpha: Annotated[
        float,
        typer.Option(min=1e-6, max=0.5, help="The expected share of false alarms among the columns that are reported."),
    ] = 0.01,
    psi: Annotated[
        float, typer.Option(min=0.0, help="The least population stability index that counts as drift.")
    ] = 0.1,
    ks: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least Kolmogorov-Smirnov distance that counts as drift.")
    ] = 0.1,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: all tests, effects and p-values.")] = False,
) -> int:
    """Compare two tables column by column; exit 0 if nothing has drifted, 1 if something has, 2 if a file is wrong.

    A column has drifted if a test says that its difference is not chance, and the difference is large enough to matter.
    """
    from mlpatterns.analysis.drift import DriftThresholds, compare
    from mlpatterns.analysis.profile import profile_of
    from mlpatterns.cli.tables import read_table, typed

    forced, left_out = tuple(category or ()), frozenset(ignore or ())
    before, after = read_table(reference), read_table(now)
    _check_names(before.columns, [*forced, *left_out], str(reference))
    kept = {name: cells for name, cells in before.columns.items() if name not in left_out}
    _same_columns(str(reference), kept, str(now), set(after.columns) - left_out)
    old = typed(type(before)(before.name, kept, before.first), {}, forced)
    _check_values(str(reference), old.values())
    kinds = {name: column.kind for name, column in old.items()}
    new = typed(type(after)(after.name, {name: after.columns[name] for name in kept}, after.first), kinds, forced)
    drift = compare(profile_of(list(old.values())), new, DriftThresholds(alpha=alpha, psi=psi, ks=ks))
    _print_json(drift) if json else _print(drift, before.rows)
    return 1 if drift.drifted else 0


def _check_names(columns: Collection[str], named: Collection[str], path: str) -> None:
    for name in named:
        if name not in columns:
            raise TableError(f"{path} has no column {name!r}; it has {', '.join(columns)}")


def _same_columns(reference: str, old: Collection[str], now: str, new: Collection[str]) -> None:
    lacking = [name for name in old if name not in new]
    if lacking:
        raise TableError(f"{now} lacks {', '.join(map(repr, lacking))}, which {reference} has; --ignore leaves one out")
    more = sorted(set(new) - set(old))
    if more:
        note(f"columns of {now} that are not in {reference} are left out: {', '.join(more)}")


def _check_values(path: str, columns: Collection[ColumnValues]) -> None:
    if not columns:
        raise TableError(f"no column of {path} is left to compare; leave an --ignore out")
    for column in columns:
        if column.unreadable:
            raise TableError(f"the column {column.name!r} of {path} has infinite values, {column.unreadable} in all")
        if not len(column.values):
            raise TableError(
                f"the column {column.name!r} of {path} has no values; --ignore {column.name} leaves it out"
            )


def _print_json(drift: Drift) -> None:
    import msgspec

    say(msgspec.json.format(msgspec.json.encode({"drifted": drift.drifted, **msgspec.to_builtins(drift)})).decode())


def _print(drift: Drift, before: int) -> None:
    rows = [_row(field) for field in drift.fields]
    table(("Verdict", "Column", "Missing", "PSI", "KS", "Moved", "p", "What"), rows, heading=True)
    found = ", ".join(drift.drifted) or "nothing"
    say(f"{found} has drifted: {drift.rows} rows against {before}")


def _row(field: FieldDrift) -> tuple[str, ...]:
    figures = [_figure(value) for value in (field.psi, field.ks)]
    moved = "" if field.wasserstein is None else f"{field.wasserstein:.2f} sd"
    lowest = min((test.q for test in field.tests), default=1.0)
    verdict = "DRIFTED" if field.drifted else "same"
    return (verdict, field.name, f"{field.missing:.1%}", *figures, moved, f"{lowest:.2g}", field.problem)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
