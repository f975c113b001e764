"""Compile the data path to C, where a C compiler is there; without one the same sources are interpreted.

See docs/adr/0004-compiled-data-path.md. Everything else about the distribution is in pyproject.toml.
"""

from mypyc.build import mypycify
from setuptools import setup

COMPILED = """
domain/assignment
domain/outcome
domain/request_id
proxy/aliases
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
telemetry/histograms
wire/chat
wire/forwarding
wire/headers
wire/options
wire/reading
wire/routes
wire/selection
wire/session_key
wire/splice
"""

extensions = mypycify([f"gateway/{name}.py" for name in COMPILED.split()], group_name="gateway")
for extension in extensions:
    extension.optional = True

setup(ext_modules=extensions)
