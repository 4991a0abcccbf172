"""Why a grant was lost, from the trace of the processes: pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import SimpleNamespace

WINDOW = "killed in the window"
NO_REPLY = "the reply never came"
HELD_UP = "held up until its lease was over and another spent the same token"


def cause_of_loss(
    stored: str, events: Iterable[SimpleNamespace], kills: Mapping[int, float], lease_seconds: float
) -> str:
    """Say what became of the refresh token whose digest is `stored`, which the provider honours no more.

    What nobody can help is a process killed between its request and our commit, while its thread had nothing
    else to do, a reply that never came, or a machine so busy that a process stood still for longer than its lease. Who
    lives and got the new pair must else have saved it.
    """
    events = list(events)
    posts = [event for event in events if event.event == "posted" and event.digest == stored]
    if not posts:
        return "never spent by us"
    for reply in events:
        granted = reply.event == "replied" and reply.digest == stored and reply.status == 200
        if granted and not _died_there(reply, events, kills):
            if any(abs(one.at - other.at) > lease_seconds for one in posts for other in posts):
                return HELD_UP
            return f"the new pair reached process {reply.pid}, which lived on without saving it"
    if any(_died_there(post, events, kills) for post in posts):
        return WINDOW
    unanswered = any(event.event == "unanswered" and event.digest == stored for event in events)
    return NO_REPLY if unanswered else "unknown"


def _died_there(event: SimpleNamespace, events: Iterable[SimpleNamespace], kills: Mapping[int, float]) -> bool:
    """Whether the process was killed before the thread of `event` went beyond that request and its reply."""
    later = [
        each.event
        for each in events
        if (each.pid, each.thread) == (event.pid, event.thread) and each.at > event.at
    ]
    return event.pid in kills and later in ([], ["replied"])


def widths(events: Iterable[SimpleNamespace]) -> dict[str, list[float]]:
    """The seconds from POST to commit and from reply to commit, of every refresh that was saved."""
    found: dict[str, list[float]] = {"POST to commit": [], "reply to commit": []}
    under_way: dict[tuple[int, int], dict[str, float]] = {}
    for event in events:
        moments = under_way.setdefault((event.pid, event.thread), {})
        if event.event == "posted":
            moments.clear()
        if event.event == "saved" and "replied" in moments:
            found["POST to commit"].append(event.at - moments["posted"])
            found["reply to commit"].append(event.at - moments["replied"])
            moments.clear()
        else:
            moments[event.event] = event.at
    return found
