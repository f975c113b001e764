"""What this gateway costs, beside nginx, HAProxy and other gateways in the same run.

    __main__   one command: sections, reports, README and operations guide
    sections   one question each; `plan` is what they are given
    targets    what is aimed at, why it is not reached where it is not; `sizing` the guide's numbers
    report     JSON, Markdown, `plot`; `document` writes between markers, `machine` says on what it was
    peers      nginx, HAProxy, a `naive` proxy, LiteLLM and Portkey (`installed`); `own` is this gateway
    load       closed loop · `openloop` fixed rate, from when it is due · `streams` · `sender` one large body
    provider   a fixed upstream, plain or with TLS (`certificate`); `requests` what it is asked
    populate   a store with many prompts, pins, rollouts; `stall` how long a change keeps a worker's loop
    cpu        processor time and memory from the kernel, and which processor a process may use

Ratios within one run are what counts; the machine's own speed moves by tens of per cent between runs. See
docs/adr/0021-how-overhead-is-measured.md.
"""
