"""RE2's language as a tree: the parser decides what RE2 accepts, so that both regex back ends refuse the same patterns.

Text is matched as bytes. A set of bytes is an int with 256 bits. Flags (i, m, s, U) are resolved while parsing, so the
tree has none. Unicode classes (`\\pL`) are refused: they mean nothing over bytes.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

ANY = (1 << 256) - 1
MAX_REPEAT = 1000
MAX_DEPTH = 250


class RegexSyntaxError(ValueError):
    """The pattern is not RE2's."""


class Chars(NamedTuple):
    """One byte of a set."""

    set: int


class Look(NamedTuple):
    """An empty-width assertion: "\\A" "\\Z" (end of text) "\\b" "\\B" "^" "$" (the last two of multi-line mode)."""

    kind: str


class Group(NamedTuple):
    """A capturing group."""

    body: Node


class Concat(NamedTuple):
    items: tuple[Node, ...]


class Either(NamedTuple):
    choices: tuple[Node, ...]


class Repeat(NamedTuple):
    """high None: without end."""

    body: Node
    low: int
    high: int | None
    greedy: bool


Node: TypeAlias = Chars | Look | Group | Concat | Either | Repeat


def span(low: int, high: int) -> int:
    """The set of bytes low..high."""
    return (1 << high + 1) - (1 << low)


def _of(text: str) -> int:
    made = 0
    for char in text:
        made |= 1 << ord(char)
    return made


_DIGIT = span(0x30, 0x39)
_UPPER, _LOWER = span(0x41, 0x5A), span(0x61, 0x7A)
_WORD = _DIGIT | _UPPER | _LOWER | 1 << 0x5F
_SPACE = _of("\t\n\f\r ")
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX = {
    "alnum": _DIGIT | _UPPER | _LOWER,
    "alpha": _UPPER | _LOWER,
    "ascii": span(0, 0x7F),
    "blank": _of("\t "),
    "cntrl": span(0, 0x1F) | 1 << 0x7F,
    "digit": _DIGIT,
    "graph": span(0x21, 0x7E),
    "lower": _LOWER,
    "print": span(0x20, 0x7E),
    "punct": span(0x21, 0x2F) | span(0x3A, 0x40) | span(0x5B, 0x60) | span(0x7B, 0x7E),
    "space": _SPACE | 1 << 0x0B,
    "upper": _UPPER,
    "word": _WORD,
    "xdigit": _DIGIT | span(0x41, 0x46) | span(0x61, 0x66),
}
_CONTROL = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_EMPTY_LOOKS = {"A": "\\A", "z": "\\Z", "b": "\\b", "B": "\\B"}


class Flags(NamedTuple):
    ignore_case: bool = False
    multi_line: bool = False
    dot_newline: bool = False
    ungreedy: bool = False


_FLAG_FIELDS = {"i": "ignore_case", "m": "multi_line", "s": "dot_newline", "U": "ungreedy"}


def parse(pattern: str) -> Node:
    """The tree of a pattern. RegexSyntaxError names what RE2 would not take."""
    return _Parser(pattern).run()


def fold(chars: int) -> int:
    """The set with the other case of its ASCII letters."""
    return chars | (chars & _UPPER) << 32 | (chars & _LOWER) >> 32


class _Parser:
    __slots__ = ("_at", "_depth", "_names", "_text", "flags")

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._depth = 0
        self._names: set[str] = set()
        self.flags = Flags()

    def run(self) -> Node:
        node = self._choices()
        if self._at < len(self._text):
            raise RegexSyntaxError("unexpected )")
        return node

    def _peek(self, count: int = 1) -> str:
        return self._text[self._at : self._at + count]

    def _take(self) -> str:
        char = self._peek()
        if not char:
            raise RegexSyntaxError("the pattern ends too early")
        self._at += 1
        return char

    def _choices(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RegexSyntaxError("groups are nested too deeply")
        choices = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            choices.append(self._sequence())
        self._depth -= 1
        return choices[0] if len(choices) == 1 else Either(tuple(choices))

    def _sequence(self) -> Node:
        items: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            item = self._atom()
            if item is not None:
                items.append(self._repeated(item))
        return items[0] if len(items) == 1 else Concat(tuple(items))

    def _atom(self) -> Node | None:
        char = self._take()
        if char == "(":
            return self._group()
        if char == "[":
            return Chars(self._class())
        if char == ".":
            return Chars(ANY if self.flags.dot_newline else ANY & ~(1 << 10))
        if char == "^":
            return Look("^" if self.flags.multi_line else "\\A")
        if char == "$":
            return Look("$" if self.flags.multi_line else "\\Z")
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise RegexSyntaxError(f"nothing to repeat before {char}")
        if char == "{":
            self._at -= 1
            if self._counts() is not None:
                raise RegexSyntaxError("nothing to repeat before {")
            self._at += 1
        return self._literal(char)

    def _literal(self, char: str) -> Node:
        data = char.encode()
        if len(data) > 1:
            return Concat(tuple([Chars(1 << byte) for byte in data]))
        return Chars(self._cased(1 << data[0]))

    def _cased(self, chars: int) -> int:
        return fold(chars) if self.flags.ignore_case else chars

    # Repetition

    def _repeated(self, item: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return item
        low, high = bounds
        lazy = self._peek() == "?"
        if lazy:
            self._at += 1
        made = Repeat(item, low, high, lazy == self.flags.ungreedy)
        start = self._at
        if self._bounds() is not None:
            raise RegexSyntaxError(f"bad repetition operator {self._text[start : self._at]!r} after a repetition")
        if _most(made) > MAX_REPEAT:
            raise RegexSyntaxError(f"repeated more than {MAX_REPEAT} times")
        return made

    def _bounds(self) -> tuple[int, int | None] | None:
        char = self._peek()
        if char in ("*", "+", "?"):
            if char:
                self._at += 1
                return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
            return None
        return self._counts() if char == "{" else None

    def _counts(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; any other brace is a literal, as in RE2."""
        end = self._text.find("}", self._at)
        low, comma, high = self._text[self._at + 1 : end].partition(",") if end > 0 else ("", "", "")
        if not _is_number(low) or (high and not _is_number(high)):
            return None
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if least > MAX_REPEAT or (most is not None and (most > MAX_REPEAT or most < least)):
            raise RegexSyntaxError(f"bad repetition {self._text[self._at : end + 1]}: at most {MAX_REPEAT}, in order")
        self._at = end + 1
        return least, most

    # Groups and flags

    def _group(self) -> Node | None:
        before = self.flags
        capture = self._peek() != "?"
        if not capture:
            self._at += 1
            if self._peek() == "P" or (self._peek() == "<" and self._peek(2) not in ("<=", "<!")):
                self._name()
                capture = True
            elif not self._read_flags():
                return None
        body = self._choices()
        if self._peek() != ")":
            raise RegexSyntaxError("missing )")
        self._at += 1
        self.flags = before
        return Group(body) if capture else body

    def _name(self) -> None:
        if self._peek() == "P":
            self._at += 1
        end = self._text.find(">", self._at)
        name = self._text[self._at + 1 : end] if end > 0 else ""
        plain = all(char == "_" or (char.isascii() and char.isalnum()) for char in name)
        if self._peek() != "<" or not name or not plain:
            raise RegexSyntaxError("bad group name or (?P construct that RE2 does not have")
        if name in self._names:
            raise RegexSyntaxError(f"group name {name!r} is used twice")
        self._names.add(name)
        self._at = end + 1

    def _read_flags(self) -> bool:
        """After `(?`. True: a group follows (`:`), False: the flags hold for the rest of the group that is open."""
        start = self._at
        value, seen, flags = True, False, self.flags
        while True:
            char = self._take()
            if char in (":", ")"):
                if not value and not seen:
                    break
                if char == ")" and not seen:
                    break
                self.flags = flags
                return char == ":"
            if char == "-" and value:
                value, seen = False, False
            elif char in _FLAG_FIELDS:
                flags = flags._replace(**{_FLAG_FIELDS[char]: value})
                seen = True
            else:
                break
        raise RegexSyntaxError(f"RE2 has no group of the form (?{self._text[start : self._at]}")

    # Escapes and classes

    def _escape(self) -> Node | None:
        char = self._take()
        if char in _EMPTY_LOOKS:
            return Look(_EMPTY_LOOKS[char])
        if char == "C":
            return Chars(ANY)
        if char == "Q":
            return self._quoted()
        if char.lower() in _PERL:
            return Chars(_perl(char))
        self._at -= 1
        return Chars(self._cased(1 << self._escaped_byte()))

    def _quoted(self) -> Node | None:
        end = self._text.find("\\E", self._at)
        text = self._text[self._at : end] if end >= 0 else self._text[self._at :]
        self._at = end + 2 if end >= 0 else len(self._text)
        if not text:
            return None
        items = tuple([self._literal(char) for char in text])
        if len(items) == 1:
            return items[0]
        # A repetition after \E is for the last character only.
        last = self._repeated(items[-1])
        return Concat((*items[:-1], last))

    def _escaped_byte(self) -> int:
        char = self._take()
        if char in _CONTROL:
            return _CONTROL[char]
        if char in "01234567":
            return self._octal(char)
        if char == "x":
            return self._hexadecimal()
        if char.isascii() and not char.isalnum():
            return ord(char)
        raise RegexSyntaxError(f"RE2 has no escape \\{char}")

    def _octal(self, first: str) -> int:
        if first != "0" and self._peek() not in tuple("01234567"):
            raise RegexSyntaxError(f"RE2 has no back references (\\{first})")
        digits = first
        while len(digits) < 3 and self._peek() in tuple("01234567"):
            digits += self._take()
        return _one_byte(int(digits, 8))

    def _hexadecimal(self) -> int:
        if self._peek() == "{":
            end = self._text.find("}", self._at)
            digits = self._text[self._at + 1 : end] if end > 0 else ""
            self._at = end + 1
        else:
            digits = self._peek(2)
            self._at += 2
            if len(digits) < 2:
                digits = ""
        if not digits or not all(char in "0123456789abcdefABCDEF" for char in digits):
            raise RegexSyntaxError("bad \\x escape")
        return _one_byte(int(digits, 16))

    def _class(self) -> int:
        negated = self._peek() == "^"
        if negated:
            self._at += 1
        chars, first = 0, True
        while first or self._peek() != "]":
            first = False
            chars |= self._class_item()
        self._at += 1
        return ANY & ~chars if negated else chars

    def _class_item(self) -> int:
        if self._peek(2) == "[:":
            named = self._posix()
            if named is not None:
                return named
        if self._peek() == "\\" and self._peek(2)[1:].lower() in _PERL:
            self._at += 1
            return _perl(self._take())
        low = self._class_byte()
        if self._peek() == "-" and self._peek(2) != "-]":
            self._at += 1
            high = self._class_byte()
            if high < low:
                raise RegexSyntaxError("a range of a class runs backwards")
            return self._cased(span(low, high))
        return self._cased(1 << low)

    def _class_byte(self) -> int:
        char = self._take()
        if char == "\\":
            return self._escaped_byte()
        if not char.isascii():
            raise RegexSyntaxError("a class may hold ASCII characters only: it matches bytes")
        return ord(char)

    def _posix(self) -> int | None:
        end = self._text.find(":]", self._at + 2)
        if end < 0:
            return None
        name = self._text[self._at + 2 : end]
        negated = name.startswith("^")
        if name.lstrip("^") not in _POSIX:
            raise RegexSyntaxError(f"no character class [:{name}:]")
        self._at = end + 2
        chars = self._cased(_POSIX[name.lstrip("^")])
        return ANY & ~chars if negated else chars


def _perl(char: str) -> int:
    chars = _PERL[char.lower()]
    return chars if char.islower() else ANY & ~chars


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _one_byte(value: int) -> int:
    if value > 0xFF:
        raise RegexSyntaxError(f"\\x{{{value:X}}} is more than one byte")
    return value


def _most(node: Node) -> int:
    """The largest product of counted repetitions inside each other; RE2 has a limit on it."""
    if isinstance(node, Repeat):
        return max(1, node.high if node.high is not None else node.low) * _most(node.body)
    if isinstance(node, Group):
        return _most(node.body)
    if isinstance(node, Concat):
        return max(map(_most, node.items), default=1)
    if isinstance(node, Either):
        return max(map(_most, node.choices))
    return 1
