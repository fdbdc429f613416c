"""How a statement of the source is to be run on the target, or why it must not be. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from segue.replicate.ddl.statement import Name, Statement
from segue.schema.mapping import Mapping
from segue.sql import name

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Runnable:
    """A statement in the target's names."""

    text: str
    schema: str
    """The default schema to run it in."""
    tables: tuple[Key, ...]
    """What it changes, by the target's names; new names of a rename behind the old ones."""


def runnable(statement: Statement, database: str, mapping: Mapping) -> Runnable | str:
    """The statement for the target, or the reason why only an operator can decide."""
    if statement.kind == "unknown" or statement.uncertain:
        return statement.uncertain or "it is not understood"
    if statement.kind in ("database", "object"):
        return _whole_schema(statement, database, mapping)
    wanted = [n for n in statement.names if mapping.wants(*n.key)]
    if statement.kind == "drop":
        # Whatever else is dropped with them is none of ours.
        there = tuple(mapping.table(*n.key).target for n in wanted)
        return Runnable("DROP TABLE IF EXISTS " + ", ".join(name(*t) for t in there), "", there)
    outside = [str(n) for n in (*statement.names, *statement.reads) if not mapping.wants(*n.key)]
    if outside:
        return f"it also concerns {', '.join(outside)}, which is not replicated"
    why = _bound_by_rule(statement, mapping)
    if why:
        return why
    renamed = [n for n in (*statement.names, *statement.reads) if mapping.table(*n.key).target != n.key]
    if renamed and "REFERENCES" in statement.text.upper():
        return "it has a foreign key and its table has another name on the target"
    text = statement.text
    if renamed:
        text = _with_names(statement, mapping)
    elif statement.opens_transaction:
        text = text[: statement.opens_transaction[0]]
    schema = mapping.table(database, "").target[0] if database else ""
    return Runnable(text, schema, tuple(mapping.table(*n.key).target for n in statement.names))


def _whole_schema(statement: Statement, database: str, mapping: Mapping) -> Runnable | str:
    ruled = any(statement.schema in {rule.source[0], rule.target[0]} for rule in mapping.rules())
    if ruled or mapping.table(statement.schema, "").target[0] != statement.schema:
        return "tables of the schema have other names on the target"
    return Runnable(statement.text, database if statement.kind == "object" else "", ())


def _bound_by_rule(statement: Statement, mapping: Mapping) -> str:
    """A table whose columns are mapped can be emptied; what else happens to it needs a new rule."""
    rules = {rule.source for rule in mapping.rules()}
    for one in statement.names:
        rule = mapping.table(*one.key)
        columns = rule.renamed or rule.ignored or rule.withheld or rule.defaults
        if one.key in rules and (statement.renamed or (columns and statement.kind != "truncate")):
            return f"[[replicate.table]] has a section for {one}, which may have to change with it"
    return ""


def _with_names(statement: Statement, mapping: Mapping) -> str:
    """The text with every table by its full name on the target."""
    text = statement.text
    if statement.opens_transaction:
        text = text[: statement.opens_transaction[0]]
    places: list[Name] = sorted((*statement.names, *statement.reads), key=lambda n: n.start, reverse=True)
    for one in places:
        text = text[: one.start] + name(*mapping.table(*one.key).target) + text[one.end :]
    return text
