"""What a request and an event of a stream cost in a gateway's own process, beside nginx in the same run.

    load       a closed-loop client on raw protocols, so that it is not what is measured
    provider   a fixed upstream: the same bytes for every request, plain or with TLS
    peers      nginx and this gateway, each with one worker, started on free ports
    cpu        processor time of a process, from the kernel

Ratios within one run are what counts; the machine's own speed moves by tens of per cent between runs.
"""
