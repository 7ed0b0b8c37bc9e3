"""`atk export` and `atk import`: replies carried from one store to another, as a Parquet file.

What was paid for in one place need not be paid for in another: a colleague, a server, a store begun
anew. A file holds calls whose replies can be used, in the columns of table `calls`; none holds a secret.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.store.attach import attach, detach, is_full, make_folder, mended
from engine.store.errors import StoreError
from engine.store.memo import USABLE
from engine.store.schema import CALL_COLUMNS, SCHEMA, quote, text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORM = "2"  # of the file
FORMS = {"1": CALL_COLUMNS.keys() - {"cost_reported"}, FORM: CALL_COLUMNS.keys()}  # with their columns
IMPORTED = 0  # the run of calls that were made elsewhere


def export(path: Path, target: Path, graph: str | None = None) -> int:
    """Write the replies of a store (or of one graph in it) to a new file; gives their number.

    Raises `StoreError`. Nothing stands under the file's name until all of it is written.
    """
    import duckdb

    partial = target.with_name(f"{target.name}.part")
    connection = attach(path, "read", sandbox=False)
    try:
        statuses = ", ".join(text(status) for status in USABLE)
        of_graph = f" AND graph = {text(graph)}" if graph else ""
        columns = ", ".join(map(quote, CALL_COLUMNS))
        rows = connection.execute(
            f"COPY (SELECT {columns} FROM {SCHEMA}.calls WHERE status IN ({statuses}) AND request <> ''"
            f"{of_graph} ORDER BY called_at) TO {text(str(partial))} (FORMAT parquet, COMPRESSION zstd,"
            f" KV_METADATA {{atk_replies: {text(FORM)}}})"
        ).fetchall()
        partial.replace(target)
        return int(rows[0][0])
    except (duckdb.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        message = str(error).splitlines()[0]
        if is_full(message):
            raise StoreError(f"the disk is full: {target} cannot be written", "free some space") from None
        raise StoreError(f"{target} cannot be written: {message}") from None
    finally:
        detach(connection, path)


def take(path: Path, source: Path) -> tuple[int, int]:
    """Add the replies of a file to a store that may be new: how many it has, and how many are new here.

    A reply whose key the store has already is left out, so what is there stands and a file may be taken
    twice. All or nothing. Raises `StoreError`.
    """
    import duckdb

    if not source.is_file():
        raise StoreError(f"there is no file {source}", "`atk export FILE` writes one")
    make_folder(path.parent)
    mended(path)
    connection = attach(path, "write", sandbox=False)
    try:
        _held_against_form(connection, source)
        connection.execute("BEGIN TRANSACTION")
        total = connection.execute(f"SELECT count(*) FROM read_parquet({text(str(source))})").fetchall()
        added = connection.execute(
            f"INSERT INTO {SCHEMA}.calls BY NAME SELECT * EXCLUDE (run, nth), {IMPORTED} AS run FROM"
            " (SELECT *, row_number() OVER (PARTITION BY key ORDER BY called_at DESC) AS nth"
            f" FROM read_parquet({text(str(source))}))"
            f" WHERE nth = 1 AND key NOT IN (SELECT key FROM {SCHEMA}.calls WHERE key IS NOT NULL)"
        ).fetchall()
        connection.execute("COMMIT")
        return int(total[0][0]), int(added[0][0])
    except duckdb.Error as error:
        message = str(error).splitlines()[0]
        if is_full(message):
            raise StoreError(f"the disk is full: the store {path} cannot grow", "free some space") from None
        raise StoreError(f"{source} cannot be read: {message}", "export it again") from None
    finally:
        detach(connection, path)


def _held_against_form(connection: DuckDBPyConnection, source: Path) -> None:
    """Raises `StoreError` where a file holds no replies of a form that is known."""
    import duckdb

    foreign = StoreError(f"{source} holds no replies of atk's", "`atk export FILE` writes such a file")
    try:
        found = connection.execute(
            "SELECT value::VARCHAR FROM parquet_kv_metadata(?) WHERE key::VARCHAR = 'atk_replies'",
            [str(source)],
        ).fetchall()
        described = connection.execute(f"DESCRIBE FROM read_parquet({text(str(source))})").fetchall()
    except duckdb.Error:
        raise foreign from None
    if not found:
        raise foreign
    if found[0][0] not in FORMS:
        known = " and ".join(FORMS)
        raise StoreError(
            f"{source} was written by another atk (its form is {found[0][0]}, this one reads {known})",
            "export it again with this version",
        )
    kinds = {name: CALL_COLUMNS[name].partition(" USING")[0] for name in FORMS[found[0][0]]}
    if {row[0]: row[1] for row in described} != kinds:
        raise foreign
