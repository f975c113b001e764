"""Simulated rollouts: whole sessions through the gateway's own sampling, fold and decide. Seeded.

scenario   what sessions are like, and in what the canary differs: the table of scenarios
sessions   sessions as the records that workers and judges would write, in order of writing
rollout    one rollout under a policy, from its first session to its end
summary    many runs of one scenario: rates with their intervals, exposure, time
trial      a policy against many scenarios

(The simulated *provider* is `gateway/simulator`.)
"""
