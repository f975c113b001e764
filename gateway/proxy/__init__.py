"""The data plane of one worker: bytes in, bytes out, one prompt version in between.

    base        the seams: what edge, exchange and upstream ask of each other
    edge        client connections (connection, framing, heads, link): grammar, limits, keep-alive
    upstream    pooled connections to the provider (upstream_call, _connection, _response)
    exchange    one request and its answer, streamed both ways
    managed     one request into which a prompt version is put (choice: which version; budget: its body)
    pins        a worker's view of the pins; hotkeys: which keys are no sessions
    snapshots   a worker's view of the deployments
    worker      the parts put together

The common path runs in callbacks: no task, future or await for each request.
"""
