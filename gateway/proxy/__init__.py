"""The data plane of one worker: bytes in, bytes out, one prompt version in between.

    base        the seams: what edge, exchange and upstream ask of each other
    edge        client connections: framing, limits, keep-alive
    upstream    pooled connections to the provider
    exchange    the story of one request: head, body, prompt, session, arm, upstream, answer
    pins        a worker's view of the pins
    snapshots   a worker's view of the deployments

The common path runs in callbacks: no task, future or await for each request.
"""
