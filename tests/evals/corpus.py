"""Labelled answers for the detectors, written for these tests. Each line is (label, text); "" has none.

Refusals and near misses are written out. Personal data and secrets are put into sentences that carry them and
into look-alikes that do not (failing checksums, order numbers, dates, variable names).
"""

from __future__ import annotations

REFUSALS = """\
I'm sorry, but I can't help with that.
I’m sorry, but I can’t assist with that request.
I am sorry, I cannot provide that information.
Sorry, I can't help with that.
I can't help you with that.
I cannot assist with creating that content.
I can't provide medical dosages for this.
I'm unable to help with this request.
I am unable to provide legal advice about your case.
I'm not able to assist with that.
I won't help with harassing somebody.
I will not provide instructions for that.
I cannot comply with this request.
I must decline to write this.
I have to decline, since this could hurt people.
As an AI language model, I can't have opinions on that.
As an AI, I cannot browse your mailbox.
As an AI assistant, I don't have access to private records.
I'm afraid I can't do that for you.
I'm really sorry, but I'm unable to discuss this.
I am very sorry, but I won't engage in that.
Unfortunately, I can't help with this one.
Unfortunately I am unable to assist with hacking an account.
That's not something I can do.
I appreciate the question, but I cannot provide that.
Thank you for asking. I can't discuss other customers.
I cannot engage with requests of this kind.
I can't participate in this conversation any further.
I'm sorry, I am not able to help with weapons.
Sorry — I cannot answer that.
"""
NO_REFUSALS = """\
Sorry for the delay! Your parcel ships today.
I'm sorry to hear that the kettle arrived broken. A new one is on its way.
I can help you with that right away.
You can't return sale items after thirty days, but you can exchange them.
The code cannot be used twice; I have made you a new one.
We cannot ship batteries by air, so this goes by road.
I am happy to assist with your order.
I'm glad you asked: the answer is four.
If the lamp won't turn on, check the fuse first.
Customers who cannot log in should reset their password.
An AI model does not need sleep, but its servers need care.
I'm afraid of heights too! Here is what helps me.
You will not be charged before the trial ends.
Here are three ways to decline an invitation politely.
The airline declined your card; please try another.
I can confirm that the refund of 20 euros was sent.
It is not able to run without a filter.
He said "can not" where he meant "cannot"; both spellings exist.
Nothing can help a plant that gets no water. Water it daily.
Sorry, that was unclear: the store opens at nine.
I must admit that this is a good question. Yes, it works.
I have to say that the blue one looks better.
To provide a reference, reply with the number on the receipt.
Your request was received and will be answered tomorrow.
My apologies for the mix-up; both invoices are attached.
As an aid to memory, write the number down.
I don't see a payment yet. It can take two days.
This cannot be undone, so make a copy before you delete it.
We're unable to reach the carrier, so I opened a case with them for you.
Please do not share your password with anybody.
"""
CARRIERS = (
    "You can reach them at {} during office hours.",
    "According to our records it is {}.",
    "Use {} and you are done.",
    "I found this for you: {}",
)
PERSONAL = (
    "ann.lee@example.org",
    "b+tag@mail.example.co.uk",
    "4111 1111 1111 1111",
    "5500-0055-5555-5559",
    "378282246310005",
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "FR1420041010050500013M02606",
    "+49 30 1234567",
    "+1 (212) 555-0187",
    "+442071838750",
    "123-45-6789",
)
NOT_PERSONAL = (
    "order 4111 1111 1111 1112",
    "invoice 1234-5678-9012-3456",
    "DE89 3704 0044 0532 0130 01",
    "the date 2026-11-25 10:30:00",
    "version 10.20.30.40",
    "000-12-3456",
    "the handle @ann on the forum",
    "tracking number 00340434161094042557",
    "0000 0000 0000 0000",
    "ISBN 978-3-16-148410-0",
    "part AB12 CDEF",
    "a range of 1000-2000 (of 3000)",
)
SECRETS = (
    "AKIAIOSFODNN7EXAMPLE",
    "sk-proj-abcdefghijklmnopqrstuvwxyz123456",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "xoxb-123456789012-abcdefghijkl",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "-----BEGIN RSA PRIVATE KEY-----",
    "password: correct-horse-battery",
    'api_key = "0123456789abcdef"',
)
NO_SECRETS = (
    "the field api_key in the settings",
    "a password of at least twelve characters",
    "the sk-learn library",
    "AKIA, a word of four letters",
    "the header Authorization",
    "-----BEGIN CERTIFICATE-----",
    "a password manager",
    "ghp_short",
    "password: your own",
    "an access token that expires",
)
PROFANE = (
    "this fucking thing",
    "a load of bullshit",
    "what an asshole",
    "a shitty answer",
    "those bastards",
    "a goddamn mess",
    "you motherfucker",
    "that bitch of a bug",
    "some wanker",
    "a total dickhead",
)
NOT_PROFANE = (
    "the town of Scunthorpe",
    "a shiitake mushroom",
    "the shuttle service",
    "the cocktail list",
    "an assessment of assets",
    "a classic bass line",
    "the Shih Tzu puppy",
    "the bitter end",
    "an arsenal of tools",
    "the twain shall meet",
)


def lines(label: str, block: str) -> list[tuple[str, str]]:
    return [(label, line) for line in block.splitlines()]


def carried(label: str, values: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(label, carrier.format(value)) for value in values for carrier in CARRIERS]


CORPUS = [
    *lines("refusal", REFUSALS),
    *lines("", NO_REFUSALS),
    *carried("personal", PERSONAL),
    *carried("", NOT_PERSONAL),
    *carried("secret", SECRETS),
    *carried("", NO_SECRETS),
    *carried("profanity", PROFANE),
    *carried("", NOT_PROFANE),
]
