"""The command line, `prompt-canary`: what people and pipelines do to prompts.

session   options that all commands share; opens the operations, prints, turns errors into exit codes
remote    the operations through an admin API (`--url`); without it they work directly on the store
output    values as tables, for people; `--json` prints the values themselves
prompts   push · versions · live · deploy · gate
rollout   start · status, and a command for each event of the rollout's transition table
audit     list · verify
keys      create · list · revoke
local     serve · config check · config reference · override: what concerns this machine
evaluating eval: a suite on prompt files
planning  plan: what a policy takes at some traffic
simulate  simulate: how often it would be wrong
reference docs/configuration.md, written from the settings

Exit codes: 0 done · 1 refused or failed · 2 usage or configuration · 3 store or admin API unavailable.
"""

import typer

from gateway.cli import audit, evaluating, keys, local, planning, prompts, rollout, simulate

app = typer.Typer(
    name="prompt-canary",
    help="Prompts as deployable artifacts: versions, canary rollouts, one command back.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 store or API unavailable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
prompts.register(app)
local.register(app)
planning.register(app)
simulate.register(app)
evaluating.register(app)
app.add_typer(rollout.app, name="rollout")
app.add_typer(audit.app, name="audit")
app.add_typer(keys.app, name="keys")


def main() -> None:
    app()
