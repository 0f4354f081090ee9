"""The grammar that DAGitty and DOT share: names, attributes and edge signs in braces."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from fedcausal.errors import GraphError

__all__ = ["Statement", "parse_statements", "quote"]

_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/
    |(?P<quoted>"(?:[^"\\]|\\.)*")
    |(?P<sign>[<@]?--?[>@]|[<@]--?|--)
    |(?P<mark>[{}\[\];,=])
    |(?P<word>[\w.+]+)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A node (one name, no signs) or a chain of edges, with its attributes."""

    names: tuple[str, ...]
    signs: tuple[str, ...] = ()
    attributes: dict[str, str | None] = field(default_factory=dict)


def quote(name: str) -> str:
    r"""A name in double quotes, backslashes and quotes escaped.

    >>> print(quote('blood "pressure"'))
    "blood \"pressure\""
    """
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse_statements(
    text: str, *, source: str, keywords: Collection[str]
) -> tuple[str, list[Statement]]:
    """The graph's type (one of the keywords) and its statements.

    Raises
    ------
    GraphError
        With the source's name and what was expected.
    """
    parser = _Parser(list(_tokens(text, source)), source)
    keyword = parser.name().lower()
    if keyword not in keywords:
        raise GraphError(f"{source}: expected one of {sorted(keywords)}, got {keyword!r}")
    if parser.peek() != "{":
        parser.name()
    parser.expect("{")
    statements = list(parser.statements())
    return keyword, statements


def _tokens(text: str, source: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            line = text.count("\n", 0, position) + 1
            raise GraphError(f"{source}: line {line} holds what is no name, sign or attribute")
        position = found.end()
        if found.lastgroup is not None:
            yield found.lastgroup, found.group()


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], source: str) -> None:
        self.tokens = tokens
        self.source = source
        self.position = 0

    def peek(self) -> str:
        """The text of the next token, quotes included; empty at the end."""
        return self.tokens[self.position][1] if self.position < len(self.tokens) else ""

    def kind(self) -> str:
        """The kind of the next token."""
        return self.tokens[self.position][0] if self.position < len(self.tokens) else "end"

    def expect(self, mark: str) -> None:
        """Step over a mark that must come next."""
        if self.kind() != "mark" or self.peek() != mark:
            raise GraphError(f"{self.source}: expected {mark!r}, got {self.peek()!r}")
        self.position += 1

    def name(self) -> str:
        """A name, quoted or bare."""
        kind, text = self.kind(), self.peek()
        if kind not in ("quoted", "word"):
            raise GraphError(f"{self.source}: expected a name, got {text!r}")
        self.position += 1
        return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if kind == "quoted" else text

    def statements(self) -> Iterator[Statement]:
        """Everything up to the closing brace."""
        while self.peek() != "}" or self.kind() == "quoted":
            if self.peek() == ";" and self.kind() == "mark":
                self.position += 1
                continue
            yield self._statement()
        self.expect("}")

    def _statement(self) -> Statement:
        names, signs = [self.name()], list[str]()
        if self.kind() == "mark" and self.peek() == "=":
            self.position += 1
            return Statement(names=(), attributes={names[0]: self.name()})
        while self.kind() == "sign":
            signs.append(self.peek())
            self.position += 1
            names.append(self.name())
        return Statement(names=tuple(names), signs=tuple(signs), attributes=self._attributes())

    def _attributes(self) -> dict[str, str | None]:
        attributes: dict[str, str | None] = {}
        if self.kind() != "mark" or self.peek() != "[":
            return attributes
        self.expect("[")
        while self.peek() != "]" or self.kind() != "mark":
            key = self.name()
            attributes[key] = None
            if self.peek() == "=" and self.kind() == "mark":
                self.expect("=")
                attributes[key] = self.name()
            if self.kind() == "mark" and self.peek() in (",", ";"):
                self.position += 1
        self.expect("]")
        return attributes
