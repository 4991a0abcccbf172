"""Bad input and faults by number, each with the right behaviour; names of tests begin with these numbers.

What a provider may send: RFC 6749 §4.1.2, §5 and §6, RFC 9207 (`iss`), OpenID Connect Core §3.1.3; what a line may do to
it, and how clocks, processes and databases fail, is from the issues of peers that `named.ISSUES` lists. Numbers are not
given twice: those that are missing are of no flow that there is here.
"""

from __future__ import annotations

FAULTS: dict[int, str] = {
    # the callback
    1: "no, empty or wrong `state`: 400, and no call of the token endpoint",
    2: "a replay: refused, the grant untouched",
    3: "two identical callbacks at once: one exchange",
    4: "a valid state in the session of another user or browser: refused",
    5: "nobody is signed in at the callback: refused",
    6: "the state has expired, or the session is flushed: start again",
    7: "provider A's code at B's callback: refused before the code is sent (RFC 9700 §4.4)",
    8: "a foreign `iss`, or none where it is advertised: refused (RFC 9207 §2.4)",
    9: "`access_denied` with markup or line ends in its description: a fixed text by code",
    10: "`error` and `code` together, neither, or one twice: refused (RFC 6749 §3.1)",
    11: "an unknown `error`: a generic message",
    12: "a code of any length or bytes: 400",
    13: "POST, HEAD or a prefetch: refused, the state stays",
    14: "a `next` that leads elsewhere: the default page",
    15: "a spoofed Host: the redirect URI is the same",
    # the token response (RFC 6749 §5)
    17: "no refresh token at connect: refused with a hint; on refresh the old one stays (§6)",
    18: "an empty one, or null, on refresh: the old one stays",
    19: "a rotated one is stored together with access token and expiry",
    20: "no access token in a 200: tried again, and only a rotated refresh token is kept",
    21: "long tokens are stored whole, and refused over the cap: never cut",
    22: "`expires_in` of any type or size: no storm, no eternity",
    23: "`token_type` bearer in any case; any other is refused (§7.1)",
    24: "`scope` absent, reordered or wider is no matter; a mail scope that is missing is told, the grant kept",
    25: "a token with line ends or control characters: refused",
    26: "an id_token that does not fit: refused (OpenID Connect Core §3.1.3.7)",
    27: "a 200 that is no JSON object: tried again, no crash",
    28: "a 200 with `error`: an error",
    30: "a compressed bomb: capped",
    # the line
    31: "a gateway's page: tried again, stored nowhere",
    32: "429 with `Retry-After` in any form: honoured within bounds, spread, nobody else's (RFC 9110 §10.2.3)",
    34: "a server that dawdles: the total deadline, and the lease is released",
    35: "a redirect of the token endpoint: not followed, the operator's",
    36: "TLS that does not verify: nothing is sent, nor in clear",
    37: "no connection, or a reply that breaks off: tried again; the outcome may be unknown",
    # classification
    40: "every code of a provider is judged as its documentation says",
    41: "a bad client secret of ten thousand mailboxes: one alert, nobody is blamed, it recovers by itself",
    42: "AADSTS50196 under `invalid_grant`: a pause",
    43: "a stray `invalid_grant` while another host rotated: ignored",
    44: "refused grants in masses: the brake and an alert before users are told",
    45: "a dead grant: told once, not called again; a later success clears it",
    # concurrency and crashes
    46: "many refresh one mailbox at once: one call, all have the new token",
    47: "who stalls beyond its lease: its late write is refused",
    48: "killed between reply and save: the old token is tried, and told honestly if dead",
    49: "no database at the save: the pair is kept elsewhere, sealed, and the provider is not asked again",
    50: "the caller's transaction rolls back: the new token stays",
    51: "a replica that lags: refreshes read the primary",
    52: "beat that is missed or doubled, everything due at once: bounded, spread, idempotent",
    53: "deleted in the middle of a refresh: no resurrection",
    54: "disconnected or reconnected in the middle: the late result overwrites nothing",
    55: "reconnected with another account: only explicitly",
    56: "one mailbox of two users: each has its own row and tokens",
    58: "Redis down, slow, evicting or flushed: right from the database, only slower",
    59: "a poisoned value in the cache: refused, nothing unpickled",
    60: "SIGTERM in the middle: finished or released",
    # clocks and identities
    61: "a clock that jumps: no storm",
    62: "hosts' clocks that differ: leases by the database's",
    67: "an address that changed is updated; one that was given to somebody else is another mailbox",
    73: "the revocation endpoint fails: local deletion completes, and it is tried again (RFC 7009 §2.2.1)",
}
