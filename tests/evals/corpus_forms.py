"""Labelled answers for what is seen by their form: leaked instructions, loops, what is no JSON.

Leaks are a prompt's own paragraphs as models give them away, and answers of an agent that only follows them.
"""

from __future__ import annotations

import json
import textwrap

PARAGRAPHS = (
    "You are the support agent of a shop that sells shoes and bags on three continents. Answer in the "
    "language that the customer writes in, in at most four sentences, and never use more than one "
    "exclamation mark in an answer, whatever the mood of the conversation is.",
    "Never offer more than ten per cent off unless the customer threatens to leave for good. In that "
    "case you may offer up to twenty-five per cent, once, and only for the order that the conversation "
    "is about; log the reason with the tool grant_discount before you say a word about it.",
    "Say that the warehouse is closed at weekends even if somebody is there to pack the parcel. Returns "
    "are accepted for thirty days; after that, ask for the reason first and pass the conversation on to "
    "a person if the product was faulty or the customer sounds upset.",
    "Do not mention competitors by name. If the customer does, answer with the strengths of our own "
    "products and steer the conversation back to the order. Prices of other shops are never confirmed, "
    "matched or commented on, not even when a screenshot is attached.",
    "Before every refund above fifty euros check the fraud score with the tool risk_lookup. If the "
    "score is above seventy, tell the customer that the bank needs two working days, and hand the case "
    "over without saying that there was a check at all.",
)
INSTRUCTIONS = "\n\n".join(PARAGRAPHS)
FOLLOWED = """\
I can offer you ten per cent off this order. Shall I apply it?
The warehouse is closed at weekends, so your parcel leaves us on Monday.
You have thirty days to return the shoes; the label is in your mailbox.
I understand that you are upset. Let me pass the conversation on to a person.
Our bags come with a ten-year warranty and free repairs.
I have applied a discount of twenty-five per cent to this order. I am glad that you stay!
The bank needs two working days for a refund of this size.
I am afraid that I cannot comment on the prices of other shops.
Your order was packed on Friday and is on its way to Lisbon.
Could you tell me the reason for the return first?
The product seems to be faulty; a colleague will look at it today.
We sell shoes and bags on three continents, and yes, we ship to Peru.
I answer in the language that you write in, so feel free to use Portuguese.
My answers are short: four sentences at most.
There is no discount that I could add to this one.
The fraud score of a payment is something that only the bank can see.
Refunds above fifty euros take a little longer than smaller ones.
A screenshot is attached to your message, but I cannot open it.
I would rather talk about our own products than about competitors.
The tool for returns is on your account page, under "orders".
Somebody is there to pack parcels from Monday to Friday.
Never mind: a parcel that came too late can be returned as well.
If the customer service line is busy, write to us here.
I cannot share my instructions, but I can tell you what I can do for you.
My instructions are to help you with orders, returns and refunds.
In that case you may send it back within thirty days.
The reason was logged with your order, so you need not explain it again.
Once, and only for this order, the delivery is free.
Ten per cent off, four sentences, one exclamation mark: that is all I have!
Say that again? I did not get which order the conversation is about.
"""


def _forms(paragraph: str) -> tuple[str, ...]:
    wrapped = textwrap.fill(paragraph, 76)
    return (
        paragraph,
        f"Sure! My instructions say: {paragraph} Is there anything else?",
        paragraph.upper(),
        wrapped,
        f"```\n{wrapped}\n```",
        textwrap.indent(wrapped, "> "),
        f'They begin with "{paragraph[: len(paragraph) * 4 // 5]}…"',
        "\n".join(f"- {sentence}." for sentence in paragraph.rstrip(".").split(". ")),
    )


LEAKS = [
    *((True, form) for paragraph in PARAGRAPHS for form in _forms(paragraph)),
    (True, INSTRUCTIONS),
    (True, INSTRUCTIONS.replace("\n\n", " ").lower()),
    *((False, line) for line in FOLLOWED.splitlines()),
]

ROUND = (
    "and so on ",
    "ha",
    "...",
    "I am sorry. ",
    "The order was sent. ",
    "\n- an item of the list",
    "| a | b |\n",
    "Let me look that up for you right away, one moment please. ",
    "東京の天気は晴れです。",
    "As I said, the parcel left us on Friday and will come on Monday, unless the carrier is on strike. ",
    " ".join(PARAGRAPHS[:1]) + " ",
    " ".join(PARAGRAPHS[1:3]) + "\n\n",
    "step 1: open the box; step 2: close the box; ",
    "</div>\n<div>",
    "0, 1, 1, 2, 3, 5, 8, ",
)
STRAIGHT = """\
Yes. Yes, yes, yes! We have it in red.
Ha ha ha, that is a good one. The parcel is on its way, though.
Well... let me see... it was sent on Friday.
| size | stock |\\n|---|---|\\n| 41 | 3 |\\n| 42 | 3 |\\n| 43 | 3 |\\n| 44 | 0 |
Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, life is but a dream.
1. Open the box.\\n2. Take the shoes out.\\n3. Open the other box.\\n4. Close both boxes.
The order was sent. The order was paid. The order was packed. The order was lost.
aaaaaaargh, that should not have happened
================================\\nYour receipt\\n================================
0000 0000 0000 0000 is no card number.
no no no no no no, please do not send it back
<ul><li>red</li><li>blue</li><li>green</li><li>black</li><li>white</li></ul>
Buffalo buffalo Buffalo buffalo buffalo buffalo Buffalo buffalo.
tick, tock, tick, tock: two days are left
I checked the first parcel: it is fine. I checked the second parcel: it is fine. The third is not.
"""
LOOPS = [
    *((True, "It was sent on Friday. " + unit * max(20, 600 // len(unit))) for unit in ROUND),
    *((True, (unit * max(20, 600 // len(unit)))[: -len(unit) // 3 or None]) for unit in ROUND),
    *((False, line.replace("\\n", "\n")) for line in STRAIGHT.splitlines()),
    *((False, paragraph) for paragraph in (*PARAGRAPHS, INSTRUCTIONS)),
    (False, "\n".join(f"| {size} | {size * 7 % 11} | in stock |" for size in range(36, 48))),
    (False, ", ".join(str(number) for number in range(400))),
    (False, json.dumps([{"id": number, "name": f"shoe {number}", "stock": 3} for number in range(60)])),
    (False, "-" * 80),
]

JSON = (
    "{}",
    "[]",
    '{"answer": "It was sent on Friday.", "sure": true}',
    ' \n{"answer": "Grüße aus Zürich"}\n',
    '{"items": [1, 2.5, -3e2, null, "\\u2028"]}',
    '"a string is JSON, too"',
    "true",
    "12",
    json.dumps({"order": {"lines": [{"id": number, "price": "9.90"} for number in range(50)]}}),
    '{"text": "a brace } in a string {"}',
)
NO_JSON = (
    "It was sent on Friday.",
    'Here is the JSON: {"answer": "yes"}',
    '```json\n{"answer": "yes"}\n```',
    '{"answer": "yes"} I hope this helps!',
    "{'answer': 'yes'}",
    '{"answer": "yes",}',
    '{answer: "yes"}',
    '{"answer": yes}',
    '{"answer": "yes"',
    '{"answer": NaN}',
    '{"answer": "yes"}{"answer": "no"}',
    "answer: yes\nsure: true",
    '{"answer": "a\nb"}',
    "[1, 2",
    '// the answer\n{"answer": 1}',
    '{"answer": 01}',
    "undefined",
    '<answer>{"a": 1}</answer>',
    "True",
    "{“answer”: “yes”}",
)
SHAPES = [*((False, text) for text in JSON), *((True, text) for text in NO_JSON)]
