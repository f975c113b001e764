"""Where nginx and h11 differ from us, by reason: in whether they refuse, or in the requests that they see.

A difference that is not here fails the comparison, and so does a line here that is no longer true.
"""

_BOTH_LENGTHS = (
    "takes Transfer-Encoding where both are there, as RFC 9112 6.3 allows; we refuse, as it advises"
)
_DOTS = "leaves paths to the application; the provider behind us may resolve them differently from us"
_HOSTS = "does not look into Host; ours is what routes are bound to"

H11 = {
    _BOTH_LENGTHS: (
        "CL.TE",
        "CL.TE whole request smuggled",
        "TE.CL",
        "TE.CL that agree",
        "CL zero and TE",
        "TE with HTTP/1.0 and CL",
        "h2c with CL and TE",
    ),
    "unfolds obsolete line folding; RFC 9112 5.2 lets a server refuse it": (
        "TE folded",
        "CL folded",
        "trailer folded",
        "obs-fold",
        "obs-fold with tab",
    ),
    "lets lines end in LF alone (RFC 9112 2.2: may); readers behind us might not": (
        "TE after bare LF",
        "last chunk CRLF LF",
        "trailer ends in LF",
        "line ends in LF",
        "all lines end in LF",
        "bare LF in value",
        "head ends in LF",
    ),
    "reads chunks from HTTP/1.0, which has none (RFC 9112 6.1: treat as faulty)": ("TE with HTTP/1.0",),
    "strips white space after the coding; llhttp wants the bare word": ("TE white space after",),
    "merges lengths that are equal (RFC 9112 6.3 allows either)": ("CL twice, equal", "CL list, equal"),
    "counts in integers of any size and waits for the body": ("CL just above 64 bits", "CL 64 bits, all set"),
    "takes at most 20 digits of a chunk's size": ("chunk size with many zeros",),
    "takes sizes that do not fit into 64 bits and waits for the chunk": ("chunk size overflow",),
    "drops chunk extensions without reading them": (
        "chunk extension with CR",
        "chunk extension with NUL",
        "chunk extension empty",
        "chunk extensions without end",
        "chunk size space after",
    ),
    "allows framing headers among trailers; RFC 9110 6.5.1 forbids them": (
        "trailer Content-Length",
        "trailer Transfer-Encoding",
    ),
    "refuses an empty line before a request; RFC 9112 2.2 asks to ignore it": (
        "empty line between requests",
        "one empty line first",
        "empty line only",
        "CR only",
    ),
    "leaves the version to the application": (
        "HTTP/1.2",
        "HTTP/0.9 with version",
        "HTTP/2.0",
        "HTTP/2 preface",
    ),
    "waits for the head's end before it looks at the line": ("HTTP/0.9",),
    "leaves the method to the application": (
        "lower-case method",
        "unknown method",
        "method that goes on",
        "CONNECT",
        "CONNECT with a path",
        "TRACE",
        "PROPFIND",
    ),
    "leaves the target's form to the application": (
        "absolute form, foreign",
        "absolute form with user",
        "absolute form, other scheme",
        "authority form",
        "asterisk form",
        "relative",
        "fragment",
    ),
    _DOTS: (
        "dot-dot",
        "dot-dot last",
        "dot-dot above root",
        "dot-dot with parameter",
        "dot",
        "dot-dot encoded",
        "dot-dot half encoded",
        "slash encoded",
        "slash encoded in upper case",
        "backslash",
        "backslash encoded",
        "NUL encoded",
        "percent alone",
        "percent with junk",
        "percent u",
    ),
    _HOSTS: (
        "Host empty",
        "Host list",
        "Host with space",
        "Host with path",
        "Host with user",
        "Host with query",
        "Host with junk port",
        "Host with long port",
        "Host non-ASCII",
        "Host half an address",
    ),
    "lets control characters in values pass; RFC 9110 5.5 calls them invalid": (
        "delete in value",
        "bell in value",
    ),
    "limits only heads that are incomplete, and neither target nor number of headers": (
        "target too long",
        "header too long",
        "too many headers",
    ),
    "leaves Expect to the application": ("expect something else", "expect two things", "expect twice"),
    "sees the request behind a body that we may not wait for": (
        "expect, refused by the handler",
        "answered early, chunks follow",
    ),
    "has no limit of requests on a connection": ("flood of 7,000 requests",),
    "is answered at once in this comparison": ("pipelines behind an answer that is due",),
}

NGINX = {
    "lets lines end in LF alone (RFC 9112 2.2: may); readers behind us might not": (
        "TE after bare LF",
        "chunk extension ends in LF",
        "chunk size ends in LF",
        "chunk ends in LF",
        "last chunk ends in LF",
        "last chunk CRLF LF",
        "trailer ends in LF",
        "line ends in LF",
        "all lines end in LF",
        "bare LF in value",
        "head ends in LF",
        "empty line with LF first",
    ),
    "strips spaces but no tabs around values": ("TE tab before", "CL white space around"),
    "knows from its first letter, in lower case, that a request is none": ("CL shorter than the body",),
    "skips chunk extensions without reading them": (
        "chunk extension with NUL",
        "chunk extension empty",
        "chunk extensions without end",
        "chunk size space after",
    ),
    "skips trailers without reading them": (
        "trailer Content-Length",
        "trailer Transfer-Encoding",
        "trailer without colon",
        "trailer folded",
        "trailers without end",
    ),
    "takes every minor version of HTTP/1, up to three digits": ("HTTP/1.2", "HTTP/1.10"),
    "still speaks HTTP/0.9": ("HTTP/0.9", "no version, headers"),
    "tolerates spaces around the request line's parts (RFC 9112 3: may)": (
        "version with space after",
        "two spaces",
    ),
    "forwards methods that it does not know": ("unknown method", "method that goes on", "PROPFIND"),
    "skips any number of empty lines": ("two empty lines first",),
    "takes the absolute form's host over the Host header (RFC 9112 3.2.2)": ("absolute form, foreign",),
    "takes any scheme": ("absolute form, other scheme",),
    "drops fragments, which clients must not send": ("fragment",),
    "resolves paths for its own routing and forwards them as they came": (
        "dot-dot",
        "dot-dot last",
        "dot-dot with parameter",
        "dot",
        "dot-dot encoded",
        "dot-dot half encoded",
        "slash encoded",
        "slash encoded in upper case",
        "backslash",
        "backslash encoded",
        "non-ASCII",
    ),
    "looks into Host less closely; ours is what routes are bound to": (
        "Host with user",
        "Host with query",
        "Host with junk port",
        "Host with long port",
        "Host non-ASCII",
        "Host half an address",
    ),
    "was told here to pass header names that it would drop (ignore_invalid_headers)": (
        "no colon",
        "name in quotes",
        "name with slash",
        "name non-ASCII",
    ),
    "lets control characters in values pass; RFC 9110 5.5 calls them invalid": (
        "vertical tab in value",
        "form feed in value",
        "delete in value",
        "bell in value",
    ),
    "takes CR CR LF for a line's end": ("CR CR LF",),
    "limits the size of heads, not the number of headers": ("too many headers",),
    "ignores what it cannot meet in Expect": ("expect something else", "expect two things"),
    "reads on behind a body that we may not wait for": (
        "expect, refused by the handler",
        "answered early, chunks follow",
    ),
    "is answered at once in this comparison": ("pipelines behind an answer that is due",),
}


def by_name(reasons: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: reason for reason, names in reasons.items() for name in names}
