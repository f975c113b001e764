"""The simulated provider: OpenAI's APIs and Anthropic's messages, seeded, no network, for the quickstart,
tests and benchmarks.

    scenario    the YAML file: how good, fast and reliable answers are, by prompt
    draws       every chance of one request, from a hash of seed and request
    text        words, quality marks, token counts
    schema      a value that fits a JSON schema
    answer      what is said to a chat request: text, refusal, tool call, JSON, score
    turn        one turn of a conversation, whatever API it is asked through
    chat        /v1/chat/completions: from request to reply, whole or streamed
    responses   /v1/responses, in the same way
    messages    Anthropic's /v1/messages, in the same way
    judge       scores that follow the quality mark of the judged answer
    logprobs    the probabilities of its tokens
    endpoints   models, embeddings, moderations, echo
    inspection  what was received and how it ended: /__sim/...
    reply       request and reply values, and the reply as steps: bytes, waits, an end
    faults      the table of everything a provider can do wrong
    corruptions faults that break the bytes themselves
    provider    routes
    listener    the listening socket, which can refuse for a while
    server      connections, `start_simulator`, `run_simulator`

The same seed and the same request give the same answer. `x-sim-*` request headers steer one request:
`x-sim-fault`, `x-sim-first-token-ms`, `x-sim-gap-ms`, `x-sim-tokens`, `x-sim-seed`.
"""

from gateway.simulator.scenario import Scenario, load_scenario
from gateway.simulator.server import Simulator, run_simulator, start_simulator

__all__ = ["Scenario", "Simulator", "load_scenario", "run_simulator", "start_simulator"]
