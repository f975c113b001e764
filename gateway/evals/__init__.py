"""Quality of answers, as pure functions: what is asked of a judge, and what its answer means.

rubric      criteria with anchored scores, from YAML
question    the judge's prompt: content wrapped so that it cannot give orders
verdict     a judge's answer → scores, tolerantly; a score → [0, 1]
"""
