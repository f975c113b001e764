"""Anytime-valid statistics: numbers only. This package has never heard of a prompt.

    wealth      the capital of a grid of bettors: log E, staggered starts, families of tests
    eprocess    harm and non-inferiority: is one arm worse, and is it no worse than a tolerance
    paired      the same of two versions on the same request, for a shadow stage
    prediction  the running mean that both bet against
    srm         sample ratio mismatch: do the arms receive the shares that they should
    intervals   what a person is shown: the effect with an interval that may be watched, Wilson's for rates
    agreement   a judge against people: kappa, rates of true and false positives
    power       planning: units needed, what the traffic can decide, the weight that reaches a plan

A statistic is `update / get / merge`, a plain struct whose fields are its whole state: encode it to store it.
Words: a *unit* is one session's contribution to one metric, its *badness* a number in [0, 1]; `share` (π) is
the probability that this measured unit is a canary one, fixed before its arm was drawn; `predicted` (m) is
what its badness was expected to be, fixed before it was seen. Everything rests on both being fixed first.
"""
