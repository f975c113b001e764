"""The command line, `prompt-canary`: what people and pipelines do to prompts.

session   options that all commands share; opens the operations, prints, turns errors into exit codes
remote    the same through an admin API (`--url`), by api; without it they work directly on the store
output    values as tables, for people; `--json` prints the values themselves
prompts   push · versions · live · deploy · gate
comparing pull · diff
rollout   start · status · watch (watching, bars), and a command for each event of its transition table
library   card · policies · label list, set, remove
pins      show · clear
audit     list · verify
cases     cases list · show · accept · reject · confirm · clear
suites    suite check · import · show · post
judging   judge calibrate (against people) · status
judgments judge queue · judge retry
keys      create · list · revoke
alerts    list · retry · test
token     create · list · rotate · revoke
local     serve · config check · config reference
overriding override: a version on this machine, whatever the store says
explain   explain: why a request or a session got its version
demo      demo: the story (story.py) of one version promoted and one rolled back
doctor    doctor: what a gateway needs on this machine
completion  completion: for shells
evaluating eval: a suite on prompt files
planning  plan: what a policy takes at some traffic
simulate  simulate: how often it would be wrong
reference docs/configuration.md, written from the settings

Exit codes: 0 done · 1 refused or failed · 2 usage or configuration · 3 store or admin API unavailable ·
130 interrupted.
"""

import typer

from gateway.cli import (
    alerts,
    audit,
    cases,
    comparing,
    completion,
    demo,
    doctor,
    evaluating,
    explain,
    judging,
    judgments,
    keys,
    library,
    local,
    overriding,
    pins,
    planning,
    prompts,
    rollout,
    simulate,
    suites,
    token,
)

app = typer.Typer(
    name="prompt-canary",
    help="Prompts as deployable artifacts: versions, canary rollouts, one command back.",
    epilog="Exit codes: 0 done, 1 refused or failed, 2 usage or configuration, 3 store or API unavailable, "
    "130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
prompts.register(app)
comparing.register(app)
library.register(app)
local.register(app)
overriding.register(app)
planning.register(app)
explain.register(app)
doctor.register(app)
demo.register(app)
completion.register(app)
simulate.register(app)
evaluating.register(app)
app.add_typer(rollout.app, name="rollout")
app.add_typer(pins.app, name="pin")
app.add_typer(audit.app, name="audit")
judgments.register(judging.app)
app.add_typer(suites.app, name="suite")
app.add_typer(cases.app, name="cases")
app.add_typer(judging.app, name="judge")
app.add_typer(keys.app, name="keys")
app.add_typer(token.app, name="token")
app.add_typer(alerts.app, name="alerts")


def main() -> None:
    app(prog_name=completion.NAME)
