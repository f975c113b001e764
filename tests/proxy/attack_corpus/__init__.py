"""Byte sequences that have split servers before, and what this gateway answers to each.

rows         the words
lengths      where a message ends: Content-Length against Transfer-Encoding, chunks, trailers
heads        request lines, targets, hosts, header syntax, limits
flow         several requests, upgrades, 100 Continue, clients that leave
differences  what nginx and h11 make of them, and why
"""

from tests.proxy.attack_corpus import flow, heads, lengths

THEMES = {"lengths": lengths.ROWS, "heads": heads.ROWS, "flow": flow.ROWS}
ROWS = lengths.ROWS + heads.ROWS + flow.ROWS
