// The grammars, read by the engine that VS Code uses: some words of real graphs and their scopes.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const require = createRequire(import.meta.url);
const { Registry, parseRawGrammar } = require("vscode-textmate");
const oniguruma = require("vscode-oniguruma");

const here = new URL("..", import.meta.url);
const wasm = await readFile(require.resolve("vscode-oniguruma/release/onig.wasm"));
await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));

const files = {
  "source.atk": "syntaxes/atk.tmLanguage.json",
  "text.atk-prompt": "syntaxes/prompt.tmLanguage.json",
};
const registry = new Registry({
  onigLib: Promise.resolve({
    createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
    createOnigString: (text) => new oniguruma.OnigString(text),
  }),
  loadGrammar: async (scope) =>
    scope in files ? parseRawGrammar(await readFile(new URL(files[scope], here), "utf8"), files[scope]) : null,
});

// Each word of a text with the innermost of its scopes.
async function scopes(scope, text) {
  const grammar = await registry.loadGrammar(scope);
  const found = [];
  let state = null;
  for (const line of text.split("\n")) {
    const { tokens, ruleStack } = grammar.tokenizeLine(line, state);
    state = ruleStack;
    for (const token of tokens) {
      const word = line.slice(token.startIndex, token.endIndex).trim();
      if (word) found.push([word, token.scopes.join(" ")]);
    }
  }
  return found;
}

function has(found, word, scope) {
  const scopesOfWord = found.filter(([text]) => text === word).map(([, all]) => all);
  assert.ok(scopesOfWord.some((all) => all.includes(scope)), `${word}: ${scopesOfWord} has no ${scope}`);
}

test("a graph", async () => {
  const found = await scopes(
    "source.atk",
    `## Turns documents into questions.
param size: int = 2_000    # tokens
prompt checked from drafted -> Verdict {
  template = "factual/check_answer"
  keep ok and not length(why) == 0 else "no reason"
}
sql few {
  query = """
    SELECT * FROM checked WHERE n < $limit QUALIFY true
  """
}
emit sft from few { path = "x" }`,
  );
  has(found, "## Turns documents into questions.", "comment.line.documentation");
  has(found, "param", "keyword.declaration");
  has(found, "size", "variable.parameter");
  has(found, "int", "storage.type");
  has(found, "2_000", "constant.numeric");
  has(found, "# tokens", "comment.line.number-sign");
  has(found, "prompt", "support.function.kind");
  has(found, "checked", "entity.name.table");
  has(found, "factual/check_answer", "string.quoted.double");
  has(found, "keep", "keyword.control.clause");
  has(found, "not", "keyword.operator.logical");
  has(found, "length", "support.function");
  has(found, "$limit", "variable.parameter.sql");
  has(found, "QUALIFY", "keyword.other.DML.sql");
  has(found, "emit", "support.function.kind");
});

test("a prompt", async () => {
  const found = await scopes(
    "text.atk-prompt",
    `---
description: A judge.
---
system:
Judge {{ question | trim }}.
{% if title %}Title{% endif %}
{# a remark #}
messages: turns
{{ schema }}`,
  );
  has(found, "system:", "keyword.control.role");
  has(found, "question", "variable.other.jinja");
  has(found, "trim", "support.function.filter");
  has(found, "if", "keyword.control.jinja");
  has(found, "turns", "variable.other.atk-prompt");
  has(found, "schema", "variable.language.atk-prompt");
});
