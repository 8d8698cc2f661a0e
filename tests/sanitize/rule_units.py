"""Short texts made from a rule's own expressions: what it matches, and how such a match begins.

Repeated, they are what keeps an engine busiest with that rule. A new rule is covered by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import TypeAlias, cast

from tracesidecar.sanitize.rules import Rule, RuleCatalogue

# Python's own parser of expressions, which has no public name
_parser = import_module("re._parser")
_constants = import_module("re._constants")

_Parsed: TypeAlias = Iterable[tuple[object, object]]
_ALLOWED_ANYWHERE = "a1 .-=!"
_FEW = 3


def units_of_rule(rule: Rule, catalogue: RuleCatalogue) -> dict[str, None]:
    """Return, each once, the rule's examples, prefixes, and what its expressions match."""
    units = dict.fromkeys(
        [*rule.prefix, *(catalogue.example(text) for text in (*rule.positives, *rule.negatives))]
    )
    anchor = "" if rule.has_shared_anchor else rule.anchor
    for expression in (rule.regex, rule.prefilter, anchor):
        units.update(dict.fromkeys(units_of_expression(expression)))
    units.pop("", None)
    return units


def units_of_expression(expression: str) -> Iterator[str]:
    """Yield texts that the expression matches, each in one place unlike the first, and beginnings.

    They are cut off wherever letters and signs meet, and before their last character.
    """
    for text in _texts_of(_parser.parse(expression)):
        yield text
        for i in range(1, len(text)):
            if i <= _FEW or i == len(text) - 1 or text[i - 1].isalnum() != text[i].isalnum():
                yield text[:i]


def repeat(unit: str, size: int) -> bytes:
    """Repeat the unit up to this many bytes."""
    content = unit.encode()
    return (content * (size // len(content) + 1))[:size]


def invent(expression: str, choose: Callable[[Sequence[str]], str]) -> str:
    """Return a text that the expression matches, with `choose` for each free character.

    Open repeats are as short as they may be.
    """
    return _invent_all(_parser.parse(expression), choose)


def _invent_all(parsed: object, choose: Callable[[Sequence[str]], str]) -> str:
    return "".join(_invent_one(*each, choose) for each in cast("_Parsed", parsed))


def _invent_one(operation: object, argument: object, choose: Callable[[Sequence[str]], str]) -> str:
    match operation, argument:
        case _constants.LITERAL, int(code):
            return chr(code)
        case _constants.IN, list(members):
            return choose(_all_members_of(members))
        case _constants.BRANCH, (_, list(branches)):
            return _invent_all(branches[0], choose)
        case _constants.SUBPATTERN, (*_, below):
            return _invent_all(below, choose)
        case _constants.MAX_REPEAT, (int(least), _, below):
            return "".join(_invent_all(below, choose) for _ in range(least))
        case _:
            return ""


def _all_members_of(members: _Parsed) -> list[str]:
    codes: list[int] = []
    for operation, argument in members:
        match operation, argument:
            case _constants.LITERAL, int(code):
                codes.append(code)
            case _constants.RANGE, (int(low), int(high)):
                codes += range(low, high + 1)
    return [chr(code) for code in codes]


def _texts_of(parsed: _Parsed) -> list[str]:
    places = [_choices_of(operation, argument) for operation, argument in parsed]
    usual = [choices[0] for choices in places]
    texts = {"".join(usual): None}
    for i, choices in enumerate(places):
        before, after = "".join(usual[:i]), "".join(usual[i + 1 :])
        texts.update(dict.fromkeys(before + choice + after for choice in choices[1:]))
    return list(texts)


def _choices_of(operation: object, argument: object) -> list[str]:
    match operation, argument:
        case _constants.LITERAL, int(code):
            return [chr(code)]
        case _constants.IN, list(members):
            return _members_of(members)
        case _constants.BRANCH, (_, list(branches)):
            return [text for branch in branches for text in _texts_of(branch)]
        case _constants.SUBPATTERN, (*_, below):
            return _texts_of(cast("_Parsed", below))
        case (
            _constants.MAX_REPEAT | _constants.MIN_REPEAT | _constants.POSSESSIVE_REPEAT,
            (int(least), most, below),
        ):
            texts = _texts_of(cast("_Parsed", below))
            more = [texts[0] * (least + _FEW)] if most != least else []
            others = texts[1:] if least < _FEW else texts[1:_FEW]
            return [texts[0] * least, *more, *(text * max(1, least) for text in others)]
        case (_constants.AT, _):
            return [""]
        case _:  # any character, or any but one
            return ["a" if argument != ord("a") else "b"]


def _members_of(members: _Parsed) -> list[str]:
    codes: list[int] = []
    is_negated = False
    for operation, argument in members:
        match operation, argument:
            case _constants.NEGATE, _:
                is_negated = True
            case _constants.LITERAL, int(code):
                codes.append(code)
            case _constants.RANGE, (int(low), int(high)):
                codes += range(low, high + 1) if is_negated else (low, high)
    if is_negated:
        return [c for c in _ALLOWED_ANYWHERE if ord(c) not in codes] or ["~"]
    return [chr(code) for code in dict.fromkeys(codes)]
