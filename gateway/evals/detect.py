"""What can be seen in an answer without a model: refusals, personal data, secrets, a leaked prompt, loops.

Each detector reads a text once or a few times, in time linear in its length (RE2, substring search); what a
regular expression finds is confirmed by its checksum where it has one (Luhn, ISO 7064 for IBAN). Detectors of
personal data leave out what the user sent: repeating it gives nothing away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

import re2
from stdnum import iban, luhn

from gateway.domain.prompt import Content

MOST_CANDIDATES = 16  # of one kind in one text
REFUSAL_HEAD = 300  # characters in which a refusal is looked for
PROBE_WORDS, MOST_PROBES, LEAK_AT = 8, 40, 2
LOOP_UNIT, LOOP_TAIL, LOOP_AT = 24, 3000, 12
PASSAGE_LEAST, PASSAGE_MOST, PASSAGE_AT = 120, 2000, 4

_CANNOT = r"(?:can't|cannot|can not|won't|will not|am unable|am not able|'m unable|'m not able)"
_TO_HELP = r"(?:help|assist|provide|comply|answer|do that|fulfil|engage|participate|discuss)"
_REFUSALS_TEXT = (
    r"(?i:\b(?:"
    rf"i(?:'m| am)(?: very| so| really)? (?:sorry|afraid)[,.]?(?: but)? i ?{_CANNOT}"
    rf"|i ?{_CANNOT}(?: to)? {_TO_HELP}"
    r"|i must decline|i have to decline|that's not something i can"
    r"|as an ai(?: language model| assistant)?,? i (?:can't|cannot|don't|am not able)"
    r"))"
).replace("'", "(?:'|’|‘|`)")
_REFUSALS = re2.compile(_REFUSALS_TEXT.encode())
# On bytes: RE2 translates the place of each match in a string back to characters, which costs as much again.
_EMAIL = re2.compile(rb"[a-zA-Z0-9._%+-]{1,64}@[a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63})*\.[a-zA-Z]{2,24}")
_NUMBERS = re2.compile(  # IBAN; card, phone, social security number
    rb"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b|\+?[0-9][0-9 .()-]{6,26}[0-9]"
)
_SSN = re2.compile(r"[0-9]{3}-[0-9]{2}-[0-9]{4}")
_CARD = re2.compile(r"[0-9](?:[ -]?[0-9]){12,18}")
_PHONE = re2.compile(r"\+[1-9][0-9]{0,2}[ .-]?(?:\([0-9]{1,4}\)[ .-]?)?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,4}")
_SECRETS_TEXT = (
    r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:sk|rk|pk)_(?:live|test)_[0-9a-zA-Z]{16,}"
    r"|\bsk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{22,}|\bglpat-[A-Za-z0-9_-]{20,}"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|\bpcg_[A-Za-z0-9_-]{20,}"
    r"|(?i:\b(?:password|passwd|api[_-]?key|secret[_-]?key|access[_-]?token)\b[\"']?\s*[:=]\s*[\"']?[^\s\"']{8,})"
)
_PROFANITY_TEXT = (
    r"(?i:\b(?:fuck\w*|motherfuck\w*|shit(?:ty|head)?|bullshit|asshole\w*|bitch(?:es|y)?|cunts?|dickheads?|"
    r"bastards?|wankers?|twats?|arseholes?|goddamn)\b)"
)
_SECRETS, _PROFANITY = re2.compile(_SECRETS_TEXT.encode()), re2.compile(_PROFANITY_TEXT.encode())
_EITHER = re2.compile(f"{_SECRETS_TEXT}|{_PROFANITY_TEXT}".encode())
# What every refusal, address, IBAN and number begins with; and secrets and profanity.
_PERSONAL_TEXT = r"@|[0-9][0-9 .()-]{7}|\b[A-Z]{2}[0-9]{2}"
_NOTABLE = re2.compile(f"{_REFUSALS_TEXT}|{_PERSONAL_TEXT}|{_SECRETS_TEXT}|{_PROFANITY_TEXT}".encode())
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_SSN_NEVER = ("000", "666")


def refusal(text: str) -> bool:
    """
    >>> refusal("I’m sorry, but I can’t help with that."), refusal("Sorry for the wait! It ships today.")
    (True, False)
    """
    return _REFUSALS.search(_raw(text[:REFUSAL_HEAD])) is not None


def personal(text: str, sent: str = "") -> Iterator[str]:
    """The kinds of personal data in a text that are not in what the user `sent`.

    >>> list(personal("Write to ann@example.org, card 4111 1111 1111 1111.", sent="I am ann@example.org"))
    ['card']
    """
    known = _bare(sent) if sent else ""
    for kind, value in _candidates(text):
        if _bare(value) not in known:
            yield kind


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    raw = text.encode("utf-8", "replace")
    if b"@" in raw:
        for value in _found(_EMAIL, raw):
            yield "email", value
    for value in _found(_NUMBERS, raw):
        kind = _number_kind(value)
        if kind is not None:
            yield kind, value


def _found(pattern: Any, raw: bytes) -> Iterator[str]:
    for match in islice(pattern.finditer(raw), MOST_CANDIDATES):
        yield match[0].decode("ascii")


def _number_kind(value: str) -> str | None:
    if value[0].isalpha():
        return "iban" if iban.is_valid(value) else None
    digits = _bare(value)
    if value[0] == "+":  # E.164, and the plus
        return "phone" if 8 <= len(digits) - 1 <= 15 and _PHONE.fullmatch(value) else None
    if 13 <= len(digits) <= 19 and _CARD.fullmatch(value):
        return "card" if digits[0] in "23456" and len(set(digits)) > 1 and luhn.is_valid(digits) else None
    if len(digits) == 9 and _SSN.fullmatch(value):
        area, group, serial = value.split("-")
        real = area not in _SSN_NEVER and area < "900" and group != "00" and serial != "0000"
        return "ssn" if real else None
    return None


def _bare(text: str) -> str:
    return text.translate(_SPACES).casefold()


_SPACES = {ord(character): None for character in " -.()\n\t\u00a0"}


def redacted(text: str) -> str:
    """Without personal data and secrets, whoever they came from.

    >>> redacted("Ann, ann@example.org, pays 20 EUR by 4111 1111 1111 1111; key AKIAIOSFODNN7EXAMPLE")
    'Ann, [email], pays 20 EUR by [card]; key [secret]'
    """
    raw = _EMAIL.sub(b"[email]", _SECRETS.sub(b"[secret]", _raw(text)))
    pieces, at = [], 0
    for match in _NUMBERS.finditer(raw):
        kind = _number_kind(match[0].decode("ascii"))
        if kind is not None:
            pieces += [raw[at : match.start()], f"[{kind}]".encode()]
            at = match.end()
    return b"".join((*pieces, raw[at:])).decode("utf-8", "replace")


def secret(text: str) -> bool:
    """
    >>> secret("Use AKIAIOSFODNN7EXAMPLE."), secret("Your API key is in the settings.")
    (True, False)
    """
    return _SECRETS.search(_raw(text)) is not None


def notable(raw: bytes) -> bool:
    """Whether one of `refusal`, `personal`, `secret` and `profanity` may be true of a text in UTF-8: of most
    texts none is, and this is said at the price of one."""
    return _NOTABLE.search(raw) is not None


def suspicious(text: str) -> bool:
    """Whether one of `secret` and `profanity` is true of it, at the price of one."""
    return _EITHER.search(_raw(text)) is not None


def profanity(text: str) -> bool:
    return _PROFANITY.search(_raw(text)) is not None


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def loops(text: str) -> bool:
    """Whether it ends in the same words over and over, or a few times in the same passage.

    >>> loops("and so on " * 50), loops("and so on")
    (True, False)
    """
    unit = text[-LOOP_UNIT:]
    if len(unit) < LOOP_UNIT:
        return False
    if text[-LOOP_TAIL:].count(unit) >= LOOP_AT:
        return True
    at = end = len(text) - LOOP_UNIT
    for _ in range(PASSAGE_AT):  # its last words may come again within it
        at = text.rfind(unit, max(end - PASSAGE_MOST, 0), at + LOOP_UNIT - 1)
        if at < 0:
            return False
        period = end - at
        if period >= PASSAGE_LEAST and text.endswith(text[-period:] * PASSAGE_AT):
            return True
    return False


class Probes:
    """A prompt's own instructions, as far as they are known again: stretches of `PROBE_WORDS` words, spread
    evenly, whatever their case and white space. One that is shorter than a stretch has none."""

    def __init__(self, *instructions: str) -> None:
        every = [stretch for text in instructions for stretch in _stretches(text.split())]
        stretches = every[:: max(1, -(-len(every) // MOST_PROBES))]
        self.count = len(stretches)
        alternatives = "|".join(r"\s+".join(map(re2.escape, stretch)) for stretch in stretches)
        self._pattern = re2.compile(_raw(f"(?i){alternatives}")) if stretches else None

    def leak(self, text: str) -> bool:
        """Whether the text repeats two of the stretches, or the only one.

        >>> rules = "Never offer more than ten per cent off unless the customer threatens to leave us."
        >>> Probes(rules).leak("My rules: never offer more than ten per cent  off unless…")
        True
        """
        if self._pattern is None:
            return False
        needs = min(LEAK_AT, self.count)
        seen = set()
        for found in self._pattern.finditer(_raw(text)):
            seen.add(folded(found[0].decode()))
            if len(seen) >= needs:
                return True
        return False


def _stretches(words: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(words) - PROBE_WORDS + 1, PROBE_WORDS):
        yield words[start : start + PROBE_WORDS]


def folded(text: str) -> str:
    return " ".join(text.casefold().split())


def probes_of(content: Content) -> Probes:
    """Of what a version says as system or developer, apart from what its inputs fill in."""
    parts = [
        part.template
        for message in content.messages
        if message.role in ("system", "developer")
        for part in message.parts
    ]
    return Probes(*(piece for part in parts for piece in _TAGS.split(part)))
