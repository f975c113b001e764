"""Prompt canary gateway: prompts as deployable artifacts, in front of any OpenAI-compatible provider.

The house has floors; imports only go down.

    cellar   errors                          one class a line, grouped by who is at fault
    0        settings · domain · stats       configuration; prompt, rollout, assignment, pins; numbers (pure)
    1        analysis                        evidence in, verdicts out                                (pure)
             wire · promptfiles              bytes in and out; .prompty files and templates           (pure)
    2        storage                         documents, logs, queue, keys, leases on SQLite or Redis
             telemetry · prices              metrics; the price list
    3        proxy · control                 the data plane; the registry and the rollout machine
             simulation                      whole sessions through the fold and decide, seeded
    4        web · simulator                 admin API; the simulated provider
    5        app                             composition of one process
    6        supervisor · cli                processes and people

Nouns: a *prompt* has immutable *versions*; its *deployment* says which version is live and which *rollout*
runs; a *session* is pinned to one *arm* of the rollout. See docs/architecture.md.
"""

__version__ = "0.1.0"
