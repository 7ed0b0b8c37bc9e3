"""What each error code means, an example that provokes it, and the mend: for `atk explain CODE`.

The one table of codes. A code that the source uses and this table lacks fails a test; so does
a code of the language without a recorded example. `docs/errors.md` is this table, printed by
`python -m engine.language.explain`.
"""

from __future__ import annotations

from engine.frozen import dataclass


@dataclass(frozen=True)
class Explanation:
    """A title of a few words, and a text with an example."""

    title: str
    text: str


def _parsed(table: str) -> dict[str, Explanation]:
    """Entries are `ATKnnn title`, then indented text."""
    found: dict[str, Explanation] = {}
    code = title = ""
    lines: list[str] = []
    for line in [*table.strip("\n").split("\n"), "ATK"]:
        if line.startswith("ATK"):
            if code:
                found[code] = Explanation(title, "\n".join(lines).strip("\n"))
            code, _, title = line.partition(" ")
            lines = []
        else:
            lines.append(line.removeprefix("  "))
    return found


CODES = _parsed("""
ATK001 unexpected text
  Something stands where the language has no place for it. After such an error reading goes on
  at the next statement, so one mistake does not hide another.

      param x: str = 1;          # statements end by themselves
      prompt a from              # what comes from is missing

  Look at what was expected there; strings take double quotes.
ATK002 not closed
  A block, a string or a backtick has no end. The place is where it begins.

      source documents -> QA[] {
        path = "inputs"
      # a `}` is missing here

  A text of several lines stands between three double quotes on each side.
ATK003 a reserved word as a name
  `where let check keep expect until else and or not in true false null` are reserved, and a
  word that opens a statement (`use param type model profile graph test`) cannot be a node's
  name. As a name it stands in backticks, or you choose another one.

      prompt where from documents -> QA { … }
ATK004 `=` and `:` mixed up
  `name = value` is known when the graph is planned, `name : type` is a shape. To compare, write
  `==`.

      param domain = str         # param domain: str
      keep score = 5             # keep score == 5
ATK005 a file that cannot be read
  The graph file is missing, a folder, not UTF-8, or may not be read. Save it as UTF-8 and name
  the `.atk` file itself.
ATK006 nested too deeply
  Brackets, signs or types nest deeper than 120 levels. Nobody reads that; break it into parts.
ATK007 a value that cannot be written
  A number outside 64 bits, or half of a character in an escape.

      param seed: int = 99999999999999999999
ATK100 an import that is not there
  `use "lib/text.atk"` is looked for beside the file, in `graphs/` beside it and above it, then
  among the shipped graphs.
ATK101 unknown kind
  The first word of a node is a built-in kind, a graph of this file, or a graph of an imported
  one (`text.passages`).

      promt drafted from worthy -> QA[] { … }      # prompt
ATK102 declared twice
  A name is declared, set or imported twice, or two names differ in case only, which DuckDB does
  not tell apart. Built-in kinds, types and the model `default` count as declared.
ATK103 unknown table
  A table that a node reads, in `from`, in a query, or as an ancestor, is no node of the graph.
  A graph's body sees its slots and its own nodes only. Files come in through a `source`; the
  store's own tables (`calls`, `runs`) are for looking at, with `atk sql`.

      prompt drafted from worthyy -> QA[] { … }    # worthy
ATK104 unknown setting
  The kind, model or graph has no such setting. What is meant for an endpoint goes, untouched,
  into `options = { … }` of its model.

      prompt checked from drafted -> Verdict { vote = 3 }    # votes
ATK105 a setting is missing
  The kind or graph cannot do without it.

      prompt worthy from passages -> Verdict { model = small }    # needs `template`
ATK106 unknown model
  A model is a `model` block of this file, one of an imported file (`factual.large`), or
  `default`. A model cannot copy itself.

      prompt a from b -> QA { template = "t", model = larg }    # large
ATK107 unknown or impossible type
  Types are `str int float bool path`, records, `T[]`, `T?`, alternatives of texts, declared
  types and those of imported files (`text.Document`). A type cannot contain itself.

      prompt drafted from worthy -> QAs[] { … }    # QA[]
      param level: "a" | str                       # only texts are alternatives
ATK108 a word of SQL as a table's name
  A node is a table, and queries could only name this one in quotes. Choose another name.

      python select from checked -> QA[] { … }
ATK110 a cycle
  A node reads, by way of others, what it makes itself. Cut the circle where a table is read
  too early.
ATK111 a value that does not fit
  The value has the wrong type, or lies outside what is allowed. Nothing is coerced: "3" is a
  text and 3 a number.

      prompt checked from drafted -> Verdict { votes = "three" }
ATK112 a param without a value
  The param has no default and its type is not `T?`. Give it on the command line (`-p name=…`),
  in a profile, or in the file.

      param domain: str
ATK113 a clause in the wrong place
  Each kind takes certain clauses. `where let check keep` belong to nodes that ask a model, and
  `where` to some others; `expect` to all; `given` to tests; models and profiles take none.

      emit sft from blend { keep ok }
ATK114 a name that the store keeps
  `calls`, `runs`, `rejected`, `failed` and a few more are names of the store. Choose another.
ATK115 not a name
  Names of nodes, params, types, models and graphs are letters, digits and underscores, a letter
  first. An imported file with another name is given one: use "my-lib.atk" as lib.
ATK116 a graph that calls itself
  A graph is written out at each call; one that calls itself, directly or through another,
  would never end. Rounds are bounded repetition of a graph from outside.
ATK117 a table that does not fit a slot
  The graph asks for columns that the table handed in lacks, or has with another type. A query
  between the two can rename and convert.

      chat.dialogue d from documents     # needs `question` and `answer`
ATK118 a graph that does not give what it promises
  The returned node's table lacks columns of the type behind the graph's `->`.

      graph score(rows: QA[]) -> { reward: float }[] { … return scored }
ATK120 a query that cannot be read
  DuckDB's parser refuses the query. A query is one SELECT (or FROM …), written out as a text.

      sql a { query = "SELECT title, FROM documents WHERE" }
ATK121 a query that does not fit its tables
  The query was bound to empty tables with the columns that yours will have, and does not fit:
  an unknown column or function, types that do not go together, an ungrouped column.

      sql a { query = "SELECT anser FROM drafted" }    # answer
ATK122 unknown name in an expression
  Clauses see the input's columns, the `let`s above them and params; `check` and `keep` see the
  reply as well; `expect` sees the finished table. Settings are known before there are rows:
  they see params, and a graph's body its slots.

      check ends_with(qestion, "?")    # question
ATK123 an expression that does not fit
  Unknown functions, wrong arguments, or types that DuckDB would convert silently: a number is
  not compared with a text, `not` and `and` take what is true or false, `+` takes numbers. What
  is declared as one of a few texts is not compared with another one.

      expect count(*) > "none"
      where not title                  # title != ""
ATK124 an aggregate over one row
  `where`, `let`, `check` and `keep` look at one row; `count(*)` and its like look at many and
  belong to `expect` or to a query.

      where count(*) > 1
ATK125 a gate that is neither true nor false
  A gate's expression must be true or false for each row.

      where length(text)               # length(text) > 20
ATK126 unknown parameter of a query
  `$name` in a query is a param of the file, or inside a graph one of its slots.

      sql a { query = "FROM documents LIMIT $limt" }    # $limit
ATK127 two columns of one name
  A query gives two columns that DuckDB does not tell apart. Name what both tables have in
  USING, list the columns you want, or leave some out: `SELECT a.* EXCLUDE (title), b.title`.
ATK128 a column that looks like an id
  `<node>_id` names rows of a node, and a query hands lineage on by carrying it. A column of
  another meaning needs another name.

      sql n { query = "SELECT title, count(*) AS documents_id FROM documents GROUP BY title" }
ATK130 no such prompt
  `template = "factual/judge"` is `factual/judge.md` in `prompts/`: where the command runs,
  beside the graph, then among the shipped ones.
ATK131 a prompt that cannot be used
  The prompt file has a mistake: in its front matter, its roles or its Jinja. The note says
  where.
ATK132 a variable that nobody gives
  The prompt names a variable that is no column of the input, no `let` and no param. A prompt of
  a graph's body sees the graph's slots in place of params.

      {{ audience }} in the prompt, and no `let audience = …` in the node
ATK139 too many nodes
  Graphs that call graphs can double at every step; written out, this one is too large.
ATK140 a result of the wrong form
  The kind needs records, or a list of them, behind `->`.

      source documents -> str          # -> { text: str }[]
ATK141 text needs one field
  With `reply = "text"` the whole reply is one value: the type needs exactly one `str` field.
ATK142 one row, not several
  Votes judge and a repair mends one row, and `T[]` gives several. Let one prompt write the rows
  and another judge each of them.
ATK143 a repair of unknown columns
  A repair rewrites columns that are there: fields of its type must be columns of the input or
  fields of the node's own type.
ATK144 templates with one name
  The rows of a `vary` say which template they were asked with, by its name without the folder. Two
  files of one name could not be told apart: rename one of them.
ATK145 a language of no text
  `same_language_as` names a column of the input whose texts are in the language that is wanted.
ATK150 settings of a source that do not go together
  Rows come from files (`path`) or from a data set of the hub (`hub`); `subset`, `split` and `revision`
  say which part of such a data set.
ATK151 text that cannot be cut
  `chunk` cuts one text column, and `overlap` is at most half of `size`.
ATK152 nothing to gather
  The input has no column that the ancestor lacks. Name what is to be collected:
  `columns = [question, answer]`.
ATK153 nothing to compare
  `dedupe` needs `column`, or `columns`, but not both. `retrieve` compares texts.
ATK154 a function that cannot be used
  `call = "lib/clean.py:name"` is a plain function in a file beside the graph or where the
  command runs. It is read, not run, when the graph is checked.
ATK155 an argument that does not fit
  The node's other settings are the function's arguments: names and plain types must match.
ATK156 turns that make no conversation
  `chat` needs `question` and `answer` (or `user` and `assistant` expressions), or `turns`: a
  list of question/answer pairs or of messages.
ATK157 shares that do not add up
  The shares of `mix` name its inputs, are above 0 and come to 1; floors fit into `total`.
ATK158 nothing in common
  The inputs of `mix` have no column of the same name and type, so no row could stand in for
  another.
ATK159 a path that cannot be written
  `emit` needs a path below where the command runs, with an ending it knows (`.jsonl`,
  `.parquet`) or a folder.
ATK160 splits that do not add up
  Each split has a plain name and a share above 0; the shares come to 1.
ATK161 columns that the format has no place for
  The format takes certain columns; see `docs/kinds/emit.md`.
ATK170 the wrong number of tables
  The kind or graph takes more or fewer tables than stand after `from`.

      mix blend { share = { … } }      # mix blend from a, b
ATK171 `->` missing or out of place
  Kinds that ask a model or read files say what they give; a query and a call of a graph have it
  from elsewhere.

      prompt worthy from passages { … }    # prompt worthy from passages -> Verdict
ATK172 not inside a graph
  `emit` writes outside of the store and stands at the top level. Let the graph return its table.
ATK175 nothing to train on
  `train` takes tables with a column `text`, `messages` or `segments`. Of several inputs one at least is
  seen whole; the others may have a `share` of what is seen in an epoch.

      train knows from corpus, generic { method = "cpt", start = "base", share = { generic: 0.1 } }
ATK176 a model of the other sort
  What `method = "classifier"` trains tells classes and is used by `classify`. What the other methods
  train writes: a model asks it, or a further `train` starts from it.

      classify told from passages { using = student }
ATK177 a reward that is none
  `method = "grpo"` needs a reward: a graph that takes one table, the replies, and gives a number named
  `reward` for each. Its other slots are set by params of the same name. Several have weights.

      train actor from prompts { method = "grpo", start = "base", reward = { kind: 0.7, brief: 0.3 } }
ATK180 a variable that is not set
  A model that is asked reads an environment variable that is empty or missing. Set it, give
  `env` a default, or ask another model: `-m large=default`.

      api_key = secret("DEEPINFRA_KEY")
ATK181 a model that lacks something
  An endpoint needs `base_url` and `name`. A model may copy another: model large from small { … }.
ATK182 a key in the graph
  Keys are never written into a graph: it is shared and kept. Put the key into an environment
  variable and write `api_key = secret("NAME")`; it then enters no log, table or plan.
ATK183 a profile that does not fit
  A profile rebinds params and models that the file declares, and nothing else; a `use` binds those of
  the file that is used.

      profile dev { limit = 20, large = small }
      use "factual.atk" { domain = domain, large = large }
ATK184 half an endpoint
  The model `default` is an endpoint where both ATK_BASE_URL and ATK_MODEL are set, and the
  offline stand-in where neither is.
ATK185 an option's value that does not fit
  `-p name=value` is read by the param's declared type; nothing is guessed.

      -p votes=three
ATK186 an option for no param
  `-p` names a param that the graph does not have. `atk params GRAPH` lists them.
ATK187 an option for no model
  `-m large=small` puts one model of the graph in another's place; both must be in scope
  (`default` always is).
ATK190 an import that nothing uses
  A warning: nothing of the imported file is named. Leave the `use` out.
ATK191 more cases of `when` than are checked
  A warning. What a node reads must be there for every value of the params behind its own `when` and
  those above it. Up to 64 combinations of these are checked, each as a whole; beyond that, every two
  params together, so that only a fault that takes three or more of them at once can go unnoticed.
    param steps: "all" | "no_judge" | "no_repair" = "all"
    prompt judged from drafted -> Verdict { template = "judge", when = steps != "no_judge" }
  Give one param with a few names in place of many switches: its values are all checked.
ATK200 not something to test
  A test is about a node that works on tables. A source reads from outside; what is made of it is
  tested over rows that stand in for it. What is tested cannot be given.

      test documents "is read" { … }          # test passages … { given documents = [{ … }] }
ATK201 a table that the test lacks
  Everything between the given tables and the tested node runs, so each way from a source to the
  node must pass a given table.

      test drafted "asks" { reply = [[]]  expect count(*) == 0 }    # given worthy = [{ … }]
ATK202 a given table that nothing reads
  What is given stands for a table that the tested node reads, itself or by way of others, or for
  one that those rows come from.
ATK203 rows that are no rows
  A table is given as a list of objects: `given passages = [{ text: "…" }, { text: "…" }]`.
ATK204 a given row with an unknown column
  A row has columns of the table it stands in for, and ids: its own and those of what it comes
  from. A record inside it has the fields of its type.

      given passages = [{ txt: "Rain falls." }]    # text
ATK205 a given value of another type
  The value does not fit its column. Nothing is converted: "3" is a text and 3 a number.

      given passages = [{ text: 5 }]
ATK206 a given row without what is read
  A node that the test runs reads a column which the row leaves out: its template, a gate, its
  query or a setting names it. Columns that nothing reads, and those whose type is `T?`, may be
  left out and are null.

      given passages = [{ title: "Clouds" }]       # the prompt reads `text`
ATK207 no replies
  A node on the way asks a model, and the test has no `reply`. A list is for the tested node; an
  object names others, and leaves out those that no row reaches:
  reply = { worthy: [{ … }], drafted: [[{ … }]] }.
ATK208 a reply of the wrong shape
  A reply is a value of the node's type (or of its repair's), a text that is taken as the model's
  own words, `cut("…")` or `refused("…")`. The list has one entry for each row that asks; several
  replies for one row stand in parentheses.

      reply = [{ ok: "yes" }]                      # { why: "…", ok: true }
      reply = [("not JSON", { why: "…", ok: true })]
ATK209 a reply that nobody asks for
  Only nodes that ask a model, that are on the way and not left out by `when`, take replies.
ATK210 a param without a value in a test
  A test sees the file's own values and what it sets itself, not the command line. A param without
  a default that something on the way reads is set in the test.

      test worthy "…" { domain = "Meteorology" … }
ATK211 a test that expects nothing
  Such a test could not fail. Say what must hold: `expect count(*) == 1`.
ATK212 an id that names no row, or two
  `passages_id` is any text that names one row. Where the ancestor's table is given too, the text
  is the id of one of its rows.
ATK213 settings that break the graph
  With the params that the test sets, the graph itself has an error, which the note tells.
""")


def explanations() -> dict[str, Explanation]:
    """All codes in their order: those of errors here, those of the linter from its rules."""
    from engine.language.lint.rules import RULES

    rules = {
        rule.code: Explanation(f"{rule.title} ({rule.name})", rule.page.partition("\n")[2].strip())
        for rule in RULES
    }
    return dict(sorted((CODES | rules).items()))


def page() -> str:
    """All codes as Markdown."""
    out = [
        "# Errors",
        "",
        "Every message of `atk check` has a code; `atk explain CODE` prints its entry.",
        "",
    ]
    for code, entry in CODES.items():
        out += [f"## {code} {entry.title}", ""]
        for block in entry.text.split("\n\n"):
            if block.startswith("    "):
                inner = "\n".join(line.removeprefix("    ") for line in block.split("\n"))
                out += ["```text", inner, "```", ""]
            else:
                out += [block, ""]
    return "\n".join(out).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
