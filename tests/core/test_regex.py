"""Regular expressions: RE2's language, full match, time linear in the text or refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType

import pytest
from tests.core.units import forward, header, published, regex, web

from roadstead._fallback import regex as fallback_regex
from roadstead.errors import EngineError

HOST, NAME = "a.test", "outbound|80||a.test"

REFUSED = [
    "(", ")", "a)", "(a", "[", "[a", "a**", "a+*", "a++", "a*+", "a{2}{3}", "*", "+a", "?", "|*", "(*)", "a{1001}", "a{2,1}",
    "(a{600}){2}", "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", "(?>a)", "(?x)a", "(?P=n)", "(?P<n>a)(?P<n>b)", "(?P<>a)", "(?P<1 >a)",
    "(?", "(?i", "(?-)", "(?:", "(a)\\1", "\\8", "\\", "\\k<n>", "\\Z", "\\G", "\\h", "\\e", "\\u0041", "\\pL", "\\x", "\\x{110000}",
    "[z-a]", "[[:foo:]]", "[\\8]", "\\x{100}", "[é]",
]  # fmt: skip

MATCHES = [
    ("", "", True),
    ("", "a", False),
    ("a|ab", "ab", True),
    ("(a|ab)(c|bcd)", "abcd", True),
    ("a{2}", "aa", True),
    ("a{,2}", "a{,2}", True),
    ("a{2,}", "a", False),
    ("a{0}", "", True),
    ("(?:a)(?P<n>b)(?<m>c)", "abc", True),
    ("(?i)aB(?-i)c", "Abc", True),
    ("(?i)aB(?-i)c", "AbC", False),
    ("(?i:a)b", "Ab", True),
    ("(?s).", "\n", True),
    (".", "\n", False),
    ("(?m)a$\nb", "a\nb", True),
    ("\\Aa\\z", "a", True),
    ("^a$", "a", True),
    ("^a$", "a\n", False),
    ("a\\b-b", "a-b", True),
    ("a\\Bb", "ab", True),
    ("\\d+\\w\\s", "12_ ", True),
    ("\\D\\W\\S", "a-b", True),
    ("[[:alpha:]][^[:digit:]]", "a-", True),
    ("[\\d-]+", "1-2", True),
    ("[]a]+", "]a", True),
    ("[^]a]", "b", True),
    ("[a\\-z]+", "a-z", True),
    ("[a-c&&b]+", "a&b", True),
    ("\\x41\\x{42}\\103\\t", "ABC\t", True),
    ("\\Qa.b\\E+", "a.bbb", True),
    ("\\Qa.b", "a.b", True),
    ("\\_\\-\\/\\<", "_-/<", True),
    ("a*?b+?c??", "aabb", True),
    ("(?U)a+", "aa", True),
    ("é+", "éé", True),
    ("(?i)é", "É", False),
    ("..", "é", True),
    ("\\C\\C", "é", True),
    ("[^a]", "é", False),
    ("K", "\u212a", False),
    ("(?i)k", "\u212a", False),
    ("\\w", "é", False),
    ("\\s", "\x0b", False),
    ("(a|)*b", "aab", True),
    ("a#b c", "a#b c", True),
]


def through(module: ModuleType, pattern: str, text: str) -> bool:
    """Whether the pattern takes a header's value."""
    eng = published(module, web(HOST, forward(NAME, headers=(header("x", regex(pattern)),))))
    taken: bool = eng.route(HOST, 80, headers={"x": text}).kind == "forward"
    return taken


@pytest.mark.parametrize("pattern", REFUSED)
def test_refused(engine: ModuleType, pattern: str) -> None:
    with pytest.raises(EngineError, match="regular expression"):
        through(engine, pattern, "")


@pytest.mark.parametrize(("pattern", "text", "taken"), MATCHES)
def test_match(engine: ModuleType, pattern: str, text: str, taken: bool) -> None:
    assert through(engine, pattern, text) is taken


RUNAWAY = [
    "(a+)+$",
    "(a*)*b",
    "(a|a)*b",
    "(a|aa)+$",
    "(.*)*x",
    "(\\w+\\s?)+$",
    "((a+)b?)+$",
    "(?:a+){2,}$",
    "(a?){50}a{50}",
]


@pytest.mark.parametrize("pattern", RUNAWAY)
def test_no_pattern_hangs(engine: ModuleType, pattern: str) -> None:
    """Refused, or answered at once. Backtracking would take longer than the age of the universe."""
    try:
        taken = through(engine, pattern, "a" * 5000 + "!")
    except EngineError:
        taken = False
    assert not taken


# The fallback's two ways, google-re2 and Python's `re`; the first where it is installed.
Translator = Callable[[str], fallback_regex.Regex]
TRANSLATORS: list[Translator] = [fallback_regex.with_re]
if importlib.util.find_spec("re2") is not None:
    TRANSLATORS.append(fallback_regex.with_re2)


@pytest.mark.parametrize("translate", TRANSLATORS)
@pytest.mark.parametrize("pattern", REFUSED)
def test_both_translators_refuse(translate: Translator, pattern: str) -> None:
    with pytest.raises(EngineError):
        translate(pattern)


@pytest.mark.parametrize("translate", TRANSLATORS)
@pytest.mark.parametrize(("pattern", "text", "taken"), MATCHES)
def test_both_translators_match(translate: Translator, pattern: str, text: str, taken: bool) -> None:
    assert translate(pattern).full_match(text) is taken


@pytest.mark.parametrize("pattern", RUNAWAY)
def test_the_translation_to_re_refuses_what_could_run_away(pattern: str) -> None:
    with pytest.raises(EngineError, match="run away"):
        fallback_regex.with_re(pattern)


SAFE = [
    "(a|)*b",
    "(/[a-z]+)+",
    "(a|b)*",
    "(ab)+",
    "[a-z]+@[a-z]+",
    "(\\d+,)*\\d+",
    "(?:/v[0-9]+)?/api/.*",
    "a{3}",
    "(a{2}b)+",
]


@pytest.mark.parametrize("pattern", SAFE)
def test_the_translation_to_re_takes_what_cannot(pattern: str) -> None:
    assert fallback_regex.with_re(pattern).pattern == pattern
