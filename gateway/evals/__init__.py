"""Quality and safety of answers, as pure functions.

    rubric      criteria with anchored scores, from YAML
    question    the judge's prompt: content wrapped so that it cannot give orders
    verdict     a judge's answer → scores, tolerantly; a score → [0, 1]
    weighing    a score as its expectation over the probabilities of tokens
    detect      refusals, personal data, secrets, leaks, loops: what can be seen without a model
    suite       what a version must get right before anybody sees it, in promptfoo's YAML dialect
    checks      its assertions; pair: which of two answers is better, in both orders
    imports     suites of others; results: of other runners; regression: failed answers as cases
    calibration the judge against people
    drift       the judge against itself, earlier
    report      what it came to; `written`: for pipelines
    flags       the same and the provider's signals, as one list of names

Time, chance and the nonces of a prompt are arguments.
"""
