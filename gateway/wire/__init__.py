"""Bytes in and out, without I/O: what a request says, what we change in it, what a response tells.

A managed request passes through these in order, and every byte that we do not change stays as it was sent:

    decoding      undo Content-Encoding, with a cap
    splice        split a JSON object's top level; replace, remove and append members
    selection     which prompt is asked for: body, header, path, model alias, default
    chat          /v1/chat/completions: what it holds; our messages, options and schema put in
    session_key   which session it belongs to; the fingerprint
    headers       the header block for the upstream, the header list for the client

and its response through these:

    sse           a tee on event streams: first token, usage, finish reason, errors, end
    usage         tokens by kind
    error_body    our own errors in OpenAI's shape, as a body and as an event
"""

Headers = list[tuple[bytes, bytes]]  # names in lower case
Piece = bytes | memoryview
