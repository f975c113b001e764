"""What is counted and shown.

metrics      the table of all metrics: names, kinds, labels, meaning (docs/metrics.md is made from it)
histograms   times in buckets
counts       a worker's counts since it last told them
tally        the counts of all processes of a supervisor added up
exposition   /metrics as text
reports      lines to the supervisor that nobody waits for
logs         lines for people or machines
spans        finished spans in a bounded queue
otlp         spans as OpenTelemetry's bytes
tracer       spans of work that is no request
export       to a collector, by HTTP or
grpc         one gRPC call
"""
