"""The judge: a process of its own that scores answers, one record for each item of the queue.

    asking   one answer by a whole rubric, until there is a score or a reason why not
    calls    a span for each call of a model; tracing: for each judgment and suite
    model    one question to an OpenAI-compatible API: structured output, else a tool call, else plain
    benches  by whom and by what each rollout is judged, frozen by its first item
    anchoring the same answers again and again: has the judge changed?
    budget   what judging has cost in this day and in each rollout
    claims   a queue's items, each settled in a task of its own
    pace     fewer sessions as money or time gets short, instead of none later
    ledger   scores into evidence logs, numbered as the fold wants them
    gate     suites of pending versions: trying, asserting
    triage   flagged answers looked at again: watching, moderation
    gauges   what /metrics shows of it
    loop     claim → ask → one record in the evidence log and the item done, in one transaction

It alone loads the OpenAI SDK.
"""
