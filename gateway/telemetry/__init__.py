"""What is counted and shown.

metrics      the table of all metrics: names, kinds, labels, meaning (docs/metrics.md is made from it)
histograms   times in buckets
counts       a worker's counts since it last told them
tally        the counts of all processes of a supervisor added up
exposition   /metrics as text
"""
