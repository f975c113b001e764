"""The control plane: what may be served, and how it changes. No request passes through here.

plan        deployment in → deployment out: the rules of rollouts, pure
changes     one change = one commit of deployment, archive and audit entry, by compare-and-set
audit       the hash-chained log of all changes: its end, its pages, its proof
registry    prompts and their immutable versions; push, metadata, gates
rollouts    start, change, end a rollout; deploy at once
client_keys keys of the gateway's own clients
baseline    what is known of the live version before a rollout: from the end of the last one
assessing   suites that ran, regression cases (cases), people's word on severe flags
case        one rollout's evidence as the controller holds it
controller  folds, decides, acts; one in a fleet, by a lease
acting      verdict in → planned change out, pure
replay      every verdict again, from its evidence
retention   how long evidence is kept
access      tokens of the admin API: who may do what
alerts      from the audit log to people
emergency   what follows an emergency deploy; expiry: those that expire are taken back
following   deployments as they change
duties      what the services process does by itself
explain     why a request, or a session, got its version
library     differences (comparing), cards (card), files, policies, labels, pins (sessions)
views       what people are shown
operations  everything a person can do, as one protocol, and its implementation on a store
administration  what people do to the gateway itself, in the same way
seed        a folder of prompt files pushed at every start
"""
