"""The shapes of the language: what a column, a reply or a setting may be.

One type compiles to a DuckDB type (tables), a JSON schema (structured output), the text of
`{{ schema }}` (prompts) and a validator (replies). This module gathers the public names and
holds nothing itself: `shapes` has the types, `schemas` what they look like to a database and
to a model, `values` which values fit them. Nothing here knows where a type was written.
"""

from __future__ import annotations

from engine.language.schemas import duckdb_type, json_schema, schema_text, text_field, wrapping
from engine.language.shapes import (
    BOOL,
    FLOAT,
    INT,
    PATH,
    SCALARS,
    STR,
    Field,
    Literal,
    Many,
    Optional,
    Record,
    Scalar,
    Type,
    describe,
)
from engine.language.values import Mismatch, accepts, parse_value, validator

__all__ = [
    "BOOL",
    "FLOAT",
    "INT",
    "PATH",
    "SCALARS",
    "STR",
    "Field",
    "Literal",
    "Many",
    "Mismatch",
    "Optional",
    "Record",
    "Scalar",
    "Type",
    "accepts",
    "describe",
    "duckdb_type",
    "json_schema",
    "parse_value",
    "schema_text",
    "text_field",
    "validator",
    "wrapping",
]
