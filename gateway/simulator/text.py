"""What simulated answers are made of: words, and a quality mark that a judge can read back.

Words end in a space and need no JSON escape. Some are multi-byte UTF-8, so that relays meet them.
"""

import re

_TEXT = (
    "the order was checked and your account shows a payment that we can trace within two working days "
    "please keep this reference because support will ask for it when you call Zürich or 東京 office hours "
    "are nine to five — refunds go back to the same card so nothing else is needed from you today thanks "
    "for waiting naïve questions are welcome 🙂 we also sent a summary by mail with every step explained"
)
BANK: tuple[bytes, ...] = tuple(f"{word} ".encode() for word in _TEXT.split())
REFUSAL = b"I'm sorry, but I can't help with that."

_MARK = re.compile(r"\[quality (0\.\d\d|1\.00)\]")
MARKS: tuple[bytes, ...] = tuple(b"[quality %.2f] " % (percent / 100) for percent in range(101))


def words(start: int, count: int) -> tuple[bytes, ...]:
    """Return `count` words of the endless cycle, from position `start`."""
    first = start % len(BANK)
    if first + count <= len(BANK):
        return BANK[first : first + count]
    laps = (first + count) // len(BANK) + 1
    return (BANK * laps)[first : first + count]


def mark(quality: float) -> bytes:
    """Return the mark that says how good an answer is; `quality` from 0 to 1, kept to two digits."""
    return MARKS[round(quality * 100)]


def marked_quality(text: str) -> float | None:
    """Return the quality of the last marked answer in `text`, None where there is no mark."""
    found = _MARK.findall(text)
    return float(found[-1]) if found else None


def marked_answers(text: str) -> int:
    """Return how many marked answers are in `text`."""
    return len(_MARK.findall(text))


def tokens_of(size: int) -> int:
    """Tokens of `size` bytes of text, by the usual four bytes a token."""
    return (size + 3) // 4


def cached_of(tokens: int) -> int:
    """Tokens of a request that come from the provider's cache: half of a long one."""
    return tokens // 2 if tokens >= 1024 else 0
