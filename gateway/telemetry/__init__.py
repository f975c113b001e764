"""What is counted and shown.

histograms   times by version: to the first token, in all, between events
"""
