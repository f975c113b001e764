"""The names of everything the application keeps, and nothing else knows them.

Numbers are padded with zeros, so that the order of keys is the order of numbers. Names cannot hold a slash
(`domain.names`), so no name can reach into another's keys.

    deployment/{prompt}                        what a prompt serves
    version/{prompt}/{number}                  immutable content
    digest/{prompt}/{digest}                   content → number, so that the same content is the same version
    metadata/{prompt}/{number}/{sequence}      beside a version; the last one counts
    rollout/{prompt}/{id}                      a rollout that has ended
    client_key/{id}                            a key of the gateway's own clients, its secret hashed
    audit/{sequence}                           the hash chain; its order is a compare-and-set on `audit-head`
    token/{name}                               who may use the admin API
    alert-cursor                               how far the audit log was read for alerts
    delivery/{entry, downwards}/{target}       an alert to one target; the newest comes first
    pin/{rollout}/{session}                    a session's arm (a key with a time to live)
    forgotten/{prompt}                         whose pins an operator has cleared
    alias/{response}                           the session that a response belongs to (in the same way)
    answer/{request}, under-way/{request}      of requests with an idempotency key (in the same way)
    evidence/{rollout}                         batches of records (a log)
    decisions/{rollout}                        what was decided on them (a log)
    feedback/{rollout}                         what was said of its answers (a log); feedback/ outside of any
    checkpoint/{rollout}                       the fold's state and its place in the log
    judging                                    first answers that wait for the judge (a queue)
    triage                                     flagged answers that are looked at again (a queue)
    cases/{prompt}                             what is known of its regression cases
    case-words/{prompt}/{id}                   the words of one (a key with a time to live)
    shadowing                                  stable requests to be asked again of a candidate (a queue)
    bench/{rollout}                            model, rubric and prompt that a rollout is judged by
    bench/{rollout}/pairs                      the same of its shadow stage
    pace/{rollout}                             which share of its sessions the judge can afford
    anchors/{bench}                            how it scored its anchors first, and last
    calibration/{bench}                        how well the judge of that digest agrees with people
    evaluation/{prompt}/{number}               what a version's suite came to last
    spend/{day} · spend/{rollout}              what judging has cost; spend/shadow/…: of shadow stages
    verdict/{prompt}/{rollout}                 the newest verdict, for people
    past/{prompt}                              how its live version answered when the last rollout ended
    beginning/{rollout}                        what was known of the baseline when it started
    kept/{rollout}                             how much of its evidence is left
"""

DEPLOYMENTS = "deployment/"
VERSIONS = "version/"
DIGESTS = "digest/"
METADATA = "metadata/"
ROLLOUTS = "rollout/"
CLIENT_KEYS = "client_key/"
AUDIT = "audit/"
AUDIT_HEAD = "audit-head"
TOKENS = "token/"
ALERTS = "alerts"  # the queue of deliveries
ALERT_CURSOR = "alert-cursor"
DELIVERIES = "delivery/"
PINS = "pin/"
FORGOTTEN = "forgotten/"
ALIASES = "alias/"
SMALL = (PINS, ALIASES)  # wanted by the thousand in a second, and their values have at most 39 bytes
KEPT = "kept/"
JUDGING = "judging"  # the queue
TRIAGE = "triage"  # the queue
CASES = "cases/"
SHADOWING = "shadowing"  # the queue of replays
SPENDING = "spend/"
SHADOW_SPENDING = "shadow/"  # of its periods
CONTROLLER = "controller"  # the lease
QUEUES = (JUDGING, SHADOWING, TRIAGE, ALERTS)  # all that /metrics shows
ANCHORER = "judge-anchors"  # the lease
PACER = "judge-pace"  # the lease


def deployment(prompt: str) -> str:
    return f"{DEPLOYMENTS}{prompt}"


def version(prompt: str, number: int) -> str:
    return f"{versions(prompt)}{number:08d}"


def versions(prompt: str) -> str:
    """The prefix of a prompt's versions."""
    return f"{VERSIONS}{prompt}/"


def digest(prompt: str, digest: str) -> str:
    return f"{DIGESTS}{prompt}/{digest}"


def metadata(prompt: str, number: int, sequence: int) -> str:
    return f"{metadata_of(prompt, number)}{sequence:08d}"


def metadata_of(prompt: str, number: int) -> str:
    """The prefix of what is known beside one version."""
    return f"{METADATA}{prompt}/{number:08d}/"


def rollout(prompt: str, id: str) -> str:
    return f"{rollouts(prompt)}{id}"


def rollouts(prompt: str) -> str:
    """The prefix of a prompt's ended rollouts."""
    return f"{ROLLOUTS}{prompt}/"


def client_key(id: str) -> str:
    return f"{CLIENT_KEYS}{id}"


def audit(sequence: int) -> str:
    return f"{AUDIT}{sequence:012d}"


def token(name: str) -> str:
    return f"{TOKENS}{name}"


def delivery(entry: int, target: str, number: int = 0) -> str:
    """`number`: of the alert among those of its entry; the later one comes first."""
    order = f"{999_999_999_999 - entry:012d}"
    return f"{DELIVERIES}{order}.{number}/{target}" if number else f"{DELIVERIES}{order}/{target}"


def pin(rollout: str, session: str) -> str:
    """`session` is the session's keyed hash, never the key that the client sent."""
    return f"{PINS}{rollout}/{session}"


def forgotten(prompt: str) -> str:
    return f"{FORGOTTEN}{prompt}"


def alias(response: str) -> str:
    """`response` is the keyed hash of a response's id."""
    return f"{ALIASES}{response}"


def answer(request: str) -> str:
    """`request` is the hash of a request's idempotency key, scoped by who sent it."""
    return f"answer/{request}"


def under_way(request: str) -> str:
    return f"under-way/{request}"


def evidence(rollout: str) -> str:
    return f"evidence/{rollout}"


def feedback(rollout: str) -> str:
    """`rollout` is "" for answers outside of any."""
    return f"feedback/{rollout}"


def decisions(rollout: str) -> str:
    return f"decisions/{rollout}"


def checkpoint(rollout: str) -> str:
    return f"checkpoint/{rollout}"


def bench(rollout: str) -> str:
    return f"bench/{rollout}"


def pair_bench(rollout: str) -> str:
    return f"{bench(rollout)}/pairs"


def pace(rollout: str) -> str:
    return f"pace/{rollout}"


def anchors(bench: str) -> str:
    return f"anchors/{bench}"


def calibration(bench: str) -> str:
    """`bench` is the digest of the judge's model, rubric and prompt."""
    return f"calibration/{bench}"


def evaluation(prompt: str, number: int) -> str:
    return f"evaluation/{prompt}/{number:08d}"


def cases(prompt: str) -> str:
    return f"{CASES}{prompt}"


def case_words(prompt: str, id: str) -> str:
    return f"case-words/{prompt}/{id}"


def spend(period: str) -> str:
    """`period` is a day (2026-11-25) or a rollout, after `shadow/` what a shadow stage has cost."""
    return f"{SPENDING}{period}"


def shadow_spend(period: str) -> str:
    return spend(SHADOW_SPENDING + period)


def verdict(prompt: str, rollout: str) -> str:
    return f"{verdicts(prompt)}{rollout}"


def verdicts(prompt: str) -> str:
    """The prefix of what was found in a prompt's rollouts."""
    return f"verdict/{prompt}/"


def past(prompt: str) -> str:
    return f"past/{prompt}"


def beginning(rollout: str) -> str:
    return f"beginning/{rollout}"


def kept(rollout: str) -> str:
    return f"{KEPT}{rollout}"
