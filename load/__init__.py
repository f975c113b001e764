"""Load on a gateway as applications make it; one command each (make load-locust, make load-k6).

locustfile.py   people: conversations of several turns, streamed or not, session headers, feedback
chat.k6.js      a constant rate of arrivals, streamed; thresholds on added latency and errors
k6.mjs          what the script needs of k6, for a Node where k6 is not installed
__main__        starts the quickstart, or takes a gateway that runs, and runs one of them
"""
