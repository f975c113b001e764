"""Compile the data path to C, where a C compiler is there; without one the same sources are interpreted.

See docs/adr/0004-compiled-data-path.md. Everything else about the distribution is in pyproject.toml.
"""

from mypyc.build import mypycify
from setuptools import setup

COMPILED = """
domain/assignment
domain/outcome
domain/request_id
proxy/answered
proxy/base
proxy/breaker
proxy/budget
proxy/choice
proxy/connection
proxy/edge
proxy/exchange
proxy/framing
proxy/header_lines
proxy/heads
proxy/hotkeys
proxy/link
proxy/managed
proxy/models
proxy/named
proxy/pins
proxy/recorder
proxy/router
proxy/snapshots
proxy/upstream
proxy/upstream_call
proxy/upstream_connection
proxy/upstream_response
proxy/worker
telemetry/counts
telemetry/histograms
wire/chat
wire/chat_events
wire/forwarding
wire/headers
wire/messages_events
wire/options
wire/price
wire/reading
wire/responses_events
wire/routes
wire/selection
wire/session_key
wire/splice
wire/sse
wire/usage
"""

extensions = mypycify([f"gateway/{name}.py" for name in COMPILED.split()], group_name="gateway")
for extension in extensions:
    extension.optional = True

setup(ext_modules=extensions)
