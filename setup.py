"""Compile the data path and the fold to C where there is a C compiler; without one they are interpreted.

See docs/adr/0004-compiled-data-path.md. Everything else about the distribution is in pyproject.toml.
"""

import os
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import setup
from setuptools.command.build_ext import build_ext

COMPILED = """
analysis/bloom
analysis/entries
analysis/evidence
analysis/held
domain/assignment
domain/outcome
domain/pins
domain/request_id
evals/detect
evals/flags
prices
proxy/answered
proxy/base
proxy/beginnings
proxy/breaker
proxy/budget
proxy/choice
proxy/clients
proxy/connection
proxy/edge
proxy/exchange
proxy/framing
proxy/gathering
proxy/header_lines
proxy/heads
proxy/hotkeys
proxy/link
proxy/managed
proxy/models
proxy/named
proxy/pins
proxy/question
proxy/recorder
proxy/router
proxy/sessions
proxy/snapshots
proxy/upstream
proxy/upstream_call
proxy/upstream_connection
proxy/upstream_response
proxy/worker
simulation/sessions
stats/pending
storage/key_table
storage/keys
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
wire/written
"""


class BuildAll(build_ext):
    """All of the modules or none: one without the library that they share could not be imported."""

    def build_extensions(self) -> None:
        super().build_extensions()
        built = [Path(self.get_ext_fullpath(extension.name)) for extension in self.extensions]
        if not all(path.exists() for path in built):
            print("the data path is not compiled (see above): it will be interpreted", file=sys.stderr)
            for path in built:
                path.unlink(missing_ok=True)


pure = os.environ.get("PROMPT_CANARY_PURE", "") not in ("", "0")
names = [] if pure else COMPILED.split()
extensions = mypycify([f"gateway/{name}.py" for name in names], group_name="gateway") if names else []
for extension in extensions:
    extension.optional = True

setup(ext_modules=extensions, cmdclass={"build_ext": BuildAll})
