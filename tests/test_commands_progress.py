"""Progress and summary of a run, from events alone."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from engine.commands import _progress, _summary
from engine.commands import plan as plan_command
from engine.commands._render import console as console_for
from engine.runtime.events import Changed, NodePlan, NodeProgress, Note, Plan, Started, Summary


class Clock:
    """Time that a test moves on."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def running(**more):
    return NodeProgress("checked", "prompt", "running", started=100.0, **more)


def test_rate_and_time_left_follow_the_last_seconds():
    clock = Clock()
    pace = _progress.Pace(window=10, clock=clock)
    node = running(total=1000)
    assert pace.rate(node) is None
    for second in range(1, 21):
        clock.now = 100.0 + second
        node.rows_in = second * 10 if second <= 10 else 100 + (second - 10) * 40
        pace.rate(node)
    assert 35 < pace.rate(node) <= 40.1
    assert 12 < pace.left(node) < 15


def test_time_left_is_unknown_while_the_input_grows():
    clock = Clock()
    pace = _progress.Pace(clock=clock)
    node = running(rows_in=10)
    clock.now += 5
    assert pace.rate(node) == 2
    assert pace.left(node) is None
    assert _progress.done_of(node) == "10/?"


def test_plain_lines_are_sparse():
    clock, lines = Clock(), []
    plain = _progress.Plain(lines.append, clock=clock)
    node = running(total=100)
    plain.start({"checked": node})
    for step in range(40):  # ten seconds, four beats a second
        clock.now += 0.25
        node.rows_in = node.calls = step
        plain.tick()
    assert 4 <= len(lines) <= 5
    assert all(text.startswith("> checked: ") for text in lines)
    node.state, node.ended = "done", clock.now
    plain.changed(node)
    assert lines[-1].startswith("+ checked: done")


def test_a_node_that_stands_still_says_nothing():
    clock, lines = Clock(), []
    plain = _progress.Plain(lines.append, clock=clock)
    plain.start({"checked": running(rows_in=0)})
    for _ in range(20):
        clock.now += 1
        plain.tick()
    assert lines == []


def test_unchanged_nodes_share_a_line():
    lines = []
    plain = _progress.Plain(lines.append)
    for name in "abcdefgh":
        plain.changed(NodeProgress(name, "prompt", "unchanged"))
    plain.close()
    assert lines == ["= 8 nodes unchanged: a, b, c, d, e, f, …"]


def test_a_failed_node_says_why():
    node = replace(running(rows_in=20, failed=11, calls=33), state="failed", ended=101.0, reason="wrong key")
    assert _progress.line(node, _progress.Pace()) == (
        "! checked: failed, 0 rows, 11 failed, 33 calls, $0, 1.0 s, wrong key"
    )


def test_live_table_fits_a_small_terminal():
    nodes = {
        f"node_{index}": NodeProgress(f"node_{index}", "prompt", state, started=1.0, ended=2.0)
        for index, state in enumerate(["done"] * 20 + ["running"] * 3 + ["waiting"] * 20)
    }
    out = io.StringIO()
    console = console_for(file=out, width=80, height=16, force_terminal=False)
    console.print(_progress.live_table(nodes, _progress.Pace(), 16, 80))
    lines = out.getvalue().rstrip().splitlines()
    assert len(lines) <= 16
    assert all(len(line) <= 80 for line in lines)
    text = out.getvalue()
    assert all(f"node_{index}" in text for index in (20, 21, 22))
    assert "waiting" in text
    assert "20 of 43 nodes" in text


def busy(name="checked"):
    counts = {"rows_in": 12_345, "rows": 12_000, "rejected": 300, "failed": 4, "calls": 36_000}
    paid = {"cached": 1_000, "tokens_in": 3_000_000, "tokens_out": 400_000, "cost": 12.34}
    return replace(running(total=98_765, **counts, **paid), name=name)


COLUMNS = ["node", "done", "rows", "rej.", "fail", "calls", "memo", "rate", "tokens", "cost", "left"]


@pytest.mark.parametrize(
    ("width", "gone"),
    [
        (100, ["rate"]),
        (90, ["rate", "memo"]),
        (82, ["rate", "memo", "rej."]),
        (70, ["rate", "memo", "rej.", "tokens", "left"]),
    ],
)
def test_live_table_shows_tokens_and_leaves_out_what_says_least_where_it_is_narrow(width, gone):
    clock = Clock()
    pace = _progress.Pace(clock=clock)
    clock.now += 60
    nodes = {name: busy(name) for name in ("checked", "single_turn.checked")}
    out = io.StringIO()
    console = console_for(file=out, width=width, height=24, force_terminal=False)
    console.print(_progress.live_table(nodes, pace, 24, width))
    head, first, second, *_ = lines = out.getvalue().rstrip().splitlines()
    assert all(len(line) <= width for line in lines)
    assert head.split() == [name for name in COLUMNS if name not in gone]
    cells = {"rej.": "300", "memo": "1 000", "rate": "206/s", "tokens": "3.4 M", "left": "7 min 00 s"}
    shown = ["> checked", "12 345/98 765", "12 000", "36 000", "$12.34"]
    shown += [cell for name, cell in cells.items() if name not in gone]
    assert all(cell in first for cell in shown)
    assert second.startswith("> single_turn")
    assert "…" not in first
    assert "6.8 M tokens" in " ".join(out.getvalue().split())


def test_live_table_shows_all_columns_where_they_fit():
    out = io.StringIO()
    console = console_for(file=out, width=100, height=24, force_terminal=False)
    node = running(total=300, rows_in=20, rows=19, calls=20, tokens_in=900, tokens_out=80, cost=0.01)
    console.print(_progress.live_table({"checked": node}, _progress.Pace(clock=Clock()), 24, 100))
    head, first, *_ = out.getvalue().splitlines()
    assert head.split() == COLUMNS
    assert first.split()[-3:] == ["980", "$0.01", "-"]


def test_a_line_tells_tokens():
    assert "36 000 calls, 3.4 M tokens, $12.34" in _progress.line(busy(), _progress.Pace(clock=Clock()))


def follow_events(console, quiet=False):
    progress = {"checked": running(total=3)}
    with _progress.follow(console, quiet=quiet, head=["quickstart: 1 node"]) as listener:
        listener(Started(1, "quickstart", progress, ("the offline stand-in answers",)))
        listener(Note("checked", "shares were missed"))
        progress["checked"].state = "done"
        listener(Changed(progress["checked"]))


def test_follow_prints_plain_lines_where_there_is_no_terminal():
    out = io.StringIO()
    follow_events(console_for(file=out, force_terminal=False))
    assert out.getvalue().splitlines()[:3] == [
        "quickstart: 1 node",
        "  the offline stand-in answers",
        "  checked: shares were missed",
    ]
    assert "+ checked: done" in out.getvalue()


def test_follow_draws_on_a_terminal():
    out = io.StringIO()
    follow_events(console_for(file=out, force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"}))
    assert "the offline stand-in answers" in out.getvalue()
    assert "1 of 1 nodes" in out.getvalue()


def test_quiet_says_nothing():
    out = io.StringIO()
    follow_events(console_for(file=out), quiet=True)
    assert out.getvalue() == ""


def test_a_closed_terminal_does_not_stop_the_run():
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    follow_events(console_for(file=Closed(), force_terminal=False))
    follow_events(
        console_for(file=Closed(), force_terminal=True, width=80, height=24, _environ={"TERM": "xterm"})
    )


def test_summary_ends_in_files_and_commands_worth_typing(tmp_path):
    progress = {
        "passages": NodeProgress("passages", "chunk", "done", rows=10),
        "checked": NodeProgress(
            "checked",
            "prompt",
            "done",
            rows=8,
            rejected=2,
            calls=30,
            cached=4,
            cost=0.012,
            tokens_in=9000,
            tokens_out=1500,
        ),
        "late": NodeProgress("late", "sql"),
    }
    summary = Summary(
        3,
        "quickstart",
        "done",
        4.21,
        progress,
        files=[(tmp_path / "out" / "sft.jsonl", 8), (Path("/elsewhere/x.jsonl"), 1)],
        notes=[Note(None, "a note"), Note(None, "a note")],
    )
    options = SimpleNamespace(root=tmp_path, store=tmp_path / ".atk" / "store.duckdb")
    program = SimpleNamespace(
        nodes={name: SimpleNamespace(kind=node.kind) for name, node in progress.items()}
    )
    text = "\n".join(_summary.lines(summary, program, options))
    assert text.startswith("quickstart, run 3: done (4.2 s, 30 calls, 4 from the memo, $0.012)\n")
    assert "  checked      8         2       -     30     4  10.5 k  $0.012\n" in text
    assert "1 node not begun" in text
    assert text.count("a note") == 1
    assert "  out/sft.jsonl" in text
    assert "/elsewhere/x.jsonl" in text
    assert text.splitlines()[-4:] == [
        "look inside",
        '  atk sql "FROM checked LIMIT 5"',
        "  atk show checked --rejected",
        "  atk show checked --calls",
    ]


def test_plan_marks_and_totals():
    nodes = (
        NodePlan("documents", "source", "=", 3, None, None, None, None, False, "unchanged"),
        NodePlan(
            "drafted",
            "prompt",
            "~",
            371,
            0,
            371,
            (1_500_000, 400_000),
            0.41,
            False,
            "template factual/write: 3 lines changed",
        ),
        NodePlan(
            "checked",
            "prompt",
            ">",
            1480,
            1102,
            1130,
            (1_400_000, 200_000),
            0.13,
            True,
            "follows drafted",
            rows_estimated=True,
        ),
        NodePlan("unique", "dedupe", ">", 1250, None, None, None, None, True, "follows checked", None, True),
    )
    lines = plan_command.lines(Plan("factual", nodes, ("the model is the offline stand-in",)))
    assert lines == [
        "  node        rows  cached  to call  tokens   cost  why",
        "~ drafted      371       0      371   1.9 M  $0.41  template factual/write: 3 lines changed",
        "> checked  ~ 1 480   1 102  ~ 1 130   1.6 M  $0.13  follows drafted",
        "> unique   ~ 1 250       -        -       -      -  follows checked",
        "= 1 node unchanged",
        "  ~ 1 501 calls, ~ 3.5 M tokens, about $0.54",
        "  the model is the offline stand-in",
    ]


def test_plan_of_nothing_to_do():
    nodes = (NodePlan("a", "prompt", "=", 3, 3, 0, None, 0.0, False, "unchanged"),)
    assert plan_command.lines(Plan("g", nodes, ())) == ["= 1 node unchanged", "  no call to make"]
