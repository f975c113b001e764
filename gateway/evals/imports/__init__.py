"""Suites that others wrote → promptfoo's dialect, as a mapping for YAML; `suite` reads that.

    samples     OpenAI evals: JSONL of `input` and `ideal`
    graders     OpenAI graders: JSON, of a hosted eval or bare, with its items in JSONL
    github      GitHub Models: `.prompt.yml` with `testData` and `evaluators`
    formats     which of them a file is

What has no counterpart here is refused by its name and line, as it is in a suite.
"""
