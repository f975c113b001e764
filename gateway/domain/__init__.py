"""What the gateway is about, as frozen values and pure functions: no I/O, no clock, no chance.

names        the one shape of all names
prompt       a version's content, its digest; the version and its metadata
rollout      phases as a transition table; the deployment, the one document that decides what is served
policy       what a rollout must show; the named policies
assignment   bucket and arm of a session; the pin protocol
request_id   the signed ids of managed responses
audit        the hash chain
alert        what people are told of, made of audit entries
access       roles, tokens, and the prompts that a token is limited to
"""
