"""Bytes in and out, without I/O: what a request says, what we change in it, what a response tells.

A managed request passes through these in order, and every byte that we do not change stays as it was sent:

    decoding      undo Content-Encoding, with a cap
    splice        split a JSON object's top level; replace, remove and append members
    selection     which prompt is asked for: body, header, path, model alias, default
    routes        which API a path speaks; `api` is their seam, `chat`, `responses` and `messages` the three:
                  what a request holds; our messages, options and schema put in
    options       a version's options in each API's words
    session_key   which session it belongs to; the fingerprint
    headers       the header block for the upstream, the header list for the client

and its response through these:

    sse           a tee on event streams; `chat_events`, `responses_events`, `messages_events` read of them
                  first token, usage, finish reason, errors, end
    texts         what was asked and answered, in words, for judges and safety checks
    served        which answer it was, and of which model, for spans
    usage         tokens by kind, and how an answer ended, in one vocabulary
    error_body    our own errors in OpenAI's and in Anthropic's shape, as a body and as an event
"""

Headers = list[tuple[bytes, bytes]]  # names in lower case
Piece = bytes | memoryview
