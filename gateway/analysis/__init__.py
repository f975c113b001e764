"""Evidence in, verdicts out: which units there are, what they show, and what follows. Pure.

    rules        limits of the fold and of decide
    thresholds   stable's percentiles, frozen once
    metrics      the table of metrics: badness, family, tolerance, gate
    sampling     which sessions are measured and judged: the rates that go with a weight
    units        one open session
    held         the open sessions, by key and by second of pin
    comparison   one metric's tests and interval
    entries      how a unit enters the comparisons, and what they have reached
    severe       severe flags: confirmed, then counted
    outcomes     named outcomes of feedback, by a policy's goals
    monitor      incident, hard stop, completeness
    blind        gates that no session brings anything for
    evidence     the fold: batches of the evidence log → state
    shadow       pairs of a shadow stage: their fold, what they show and what it lacks to go on
    shadow_reach how many pairs it takes, and how long
    decide       policy, position, state, now → verdict
    trust        what follows from doubts about the judge
    verdict      their words: Position, Verdict

Use:

    evidence = Evidence.start(policy, started_at, thresholds=None, rules=Rules())
    evidence.step(at)                when a planned stage, the watch included, took effect at `at`: before any
                                     pin of it is `watermark` old (re-folding: at once, for every step so far;
                                     the same `at` again changes nothing). Not for a raised weight.
    evidence.fold(batch)             True if it was new; False: this (writer, sequence) has been folded
    evidence.alarm                   True once a rollback is due: ask `decide` at once
    verdict = decide(policy, position, evidence, now)
    evidence.to_bytes()              a checkpoint; Evidence.from_bytes(value) goes on exactly from there

Time in the fold is the log's own, the newest `written_at`: the same log gives the same state at any speed,
so re-folding after a crash gives the same verdicts. A log in which nobody writes stands still; write an
empty batch every few seconds while a rollout runs.

A judged session's share needs the judge's rates too: `Drawn.j1`, `Drawn.j0`, from `sampling.rates`.
"""
