"""One session: what each command is answered, given who is signed in and what is selected. No sockets."""

import fnmatch
from collections.abc import Callable, Sequence
from typing import Final

from mail_oauth.testing.mailservers.imap import fetching
from mail_oauth.testing.mailservers.imap.syntax import (
    Argument,
    BadCommand,
    Command,
    chosen,
    is_set,
    name,
    word,
)
from mail_oauth.testing.mailservers.postoffice import Message, PostOffice
from mail_oauth.testing.mailservers.sasl import MECHANISMS

CAPABILITIES: Final = " ".join(
    ("IMAP4rev1", "SASL-IR", "LOGINDISABLED", *(f"AUTH={mechanism}" for mechanism in MECHANISMS))
).encode()

Lines = list[bytes]
Handler = Callable[[tuple[Argument, ...]], Lines]


class No(Exception):  # an answer
    """A command that is understood, and refused."""


class Session:
    """Answers the commands of one connection, but for those that talk (AUTHENTICATE) or end it (LOGOUT).

    It sees the messages that were there when the mailbox was selected, and new ones from the next NOOP on, so that a
    message's number never changes under its client.
    """

    def __init__(self, post: PostOffice) -> None:
        self._post = post
        self.user = ""
        """Whose mailbox it is, once somebody has signed in."""
        self._messages: list[Message] | None = None
        self._read_only = True
        self._for_anybody: dict[str, Handler] = {
            "CAPABILITY": lambda _: [b"* CAPABILITY " + CAPABILITIES],
            "NOOP": lambda _: self._news(),
            "LOGIN": self._login,
        }
        self._for_users: dict[str, Handler] = {
            "LIST": self._list,
            "LSUB": self._list,
            "SELECT": lambda arguments: self._select(arguments, read_only=False),
            "EXAMINE": lambda arguments: self._select(arguments, read_only=True),
            "STATUS": self._status,
        }
        self._for_readers: dict[str, Handler] = {
            "SEARCH": lambda arguments: self._search(arguments, by_uid=False),
            "FETCH": lambda arguments: self._fetch(arguments, by_uid=False),
            "UID": self._uid,
            "CHECK": lambda _: self._news(),
            "CLOSE": lambda _: self._leave(),
            "UNSELECT": lambda _: self._leave(),
        }

    def answer(self, command: Command) -> Lines:
        """Every line of the answer; the last one carries the command's tag."""
        tag = command.tag.encode()
        try:
            lines = self._handler(command.name)(command.arguments)
        except BadCommand as bad:
            return [tag + b" BAD " + str(bad).encode()]
        except No as no:
            return [tag + b" NO " + str(no).encode()]
        access = b""
        if command.name in {"SELECT", "EXAMINE"}:
            access = b"[READ-ONLY] " if self._read_only else b"[READ-WRITE] "
        return [*lines, tag + b" OK " + access + command.name.encode() + b" is done."]

    def _handler(self, wanted: str) -> Handler:
        if wanted in self._for_anybody:
            return self._for_anybody[wanted]
        if wanted not in self._for_users and wanted not in self._for_readers:
            raise BadCommand("This server does not know such a command.")
        if not self.user:
            raise BadCommand("Sign in first.")
        if wanted in self._for_users:
            return self._for_users[wanted]
        if self._messages is None:
            raise BadCommand("Select a mailbox first.")
        return self._for_readers[wanted]

    # --- for anybody ---

    def _news(self) -> Lines:
        if self._messages is None:
            return []
        last = self._messages[-1].uid if self._messages else 0
        new = [each for each in self._post.messages(self.user) if each.uid > last]
        self._messages += new
        return [b"* %d EXISTS" % len(self._messages)] if new else []

    def _login(self, _arguments: tuple[Argument, ...]) -> Lines:
        raise No("[AUTHENTICATIONFAILED] Nobody has a password here: show an access token.")

    # --- for whoever has signed in ---

    def _list(self, arguments: tuple[Argument, ...]) -> Lines:
        pattern = name(arguments, 0) + name(arguments, 1)
        if not name(arguments, 1):
            return [b'* LIST (\\Noselect) "/" ""']  # section 6.3.8: which character parts the levels of a name
        # The one name there is has no levels, so that both wildcards mean the same.
        shape = pattern.upper().replace("%", "*").replace("[", "[[]").replace("?", "[?]")
        return [b'* LIST (\\HasNoChildren) "/" INBOX'] if fnmatch.fnmatchcase("INBOX", shape) else []

    def _select(self, arguments: tuple[Argument, ...], *, read_only: bool) -> Lines:
        self._messages = None  # section 6.3.1: also where it fails
        self._inbox(arguments)
        found = self._post.messages(self.user)
        self._messages, self._read_only = found, read_only
        unseen = next((number for number, each in enumerate(found, 1) if not each.seen), 0)
        return [
            b"* FLAGS (\\Seen)",
            b"* OK [PERMANENTFLAGS ()] Flags are kept in memory.",
            b"* %d EXISTS" % len(found),
            b"* 0 RECENT",
            *([b"* OK [UNSEEN %d] The first." % unseen] if unseen else []),
            b"* OK [UIDVALIDITY %d] Until the servers end." % self._post.uid_validity,
            b"* OK [UIDNEXT %d] The next." % self._post.next_uid(self.user),
        ]

    def _status(self, arguments: tuple[Argument, ...]) -> Lines:
        self._inbox(arguments)
        asked = arguments[1] if len(arguments) == 2 else ()
        messages = self._post.messages(self.user)
        known = {
            "MESSAGES": len(messages),
            "RECENT": 0,
            "UNSEEN": sum(not each.seen for each in messages),
            "UIDNEXT": self._post.next_uid(self.user),
            "UIDVALIDITY": self._post.uid_validity,
        }
        words = [word(asked, index) for index in range(len(asked))] if isinstance(asked, tuple) else []
        if not words or len(words) > len(known) or not known.keys() >= set(words):
            raise BadCommand("STATUS tells MESSAGES, RECENT, UNSEEN, UIDNEXT and UIDVALIDITY.")
        return [f"* STATUS INBOX ({' '.join(f'{each} {known[each]}' for each in words)})".encode()]

    def _inbox(self, arguments: tuple[Argument, ...]) -> None:
        if name(arguments, 0).upper() != "INBOX":
            raise No("[NONEXISTENT] INBOX is the only mailbox.")

    # --- for whoever has selected a mailbox ---

    def _uid(self, arguments: tuple[Argument, ...]) -> Lines:
        what = word(arguments, 0)
        if what == "SEARCH":
            return self._search(arguments[1:], by_uid=True)
        if what == "FETCH":
            return self._fetch(arguments[1:], by_uid=True)
        raise BadCommand("UID goes with SEARCH and FETCH.")

    def _search(self, arguments: tuple[Argument, ...], *, by_uid: bool) -> Lines:
        if word(arguments, 0) == "CHARSET":
            arguments = arguments[2:]
        if not arguments:
            raise BadCommand("SEARCH wants a key.")
        found = set(self._numbers)
        index = 0
        while index < len(arguments):
            key = word(arguments, index)
            index += 2 if key == "UID" else 1
            found &= self._matching(key, word(arguments, index - 1) if key == "UID" else "")
        told = [self._mails[number - 1].uid if by_uid else number for number in sorted(found)]
        return [b" ".join((b"* SEARCH", *(b"%d" % each for each in told)))]

    def _matching(self, key: str, uids: str) -> set[int]:
        """The numbers of the messages that a key of SEARCH names."""
        if key == "UID":
            return set(self._of_uids(uids))
        if is_set(key):
            return set(chosen(key, self._numbers))
        wanted = {"ALL": (True, False), "SEEN": (True,), "UNSEEN": (False,)}.get(key)
        if wanted is None:
            raise BadCommand("SEARCH knows ALL, SEEN, UNSEEN, UID, and sets of numbers.")
        return {number for number, each in enumerate(self._mails, 1) if each.seen in wanted}

    def _fetch(self, arguments: tuple[Argument, ...], *, by_uid: bool) -> Lines:
        if len(arguments) != 2:
            raise BadCommand("FETCH wants a set of numbers, and items.")
        numbers = self._of_uids(word(arguments, 0)) if by_uid else chosen(word(arguments, 0), self._numbers)
        asked = fetching.items(arguments[1], with_uid=by_uid)
        marking = not self._read_only
        return [fetching.told(number, self._mails[number - 1], asked, marking=marking) for number in numbers]

    def _leave(self) -> Lines:
        self._messages = None
        return []

    @property
    def _mails(self) -> list[Message]:
        return self._messages or []

    @property
    def _numbers(self) -> Sequence[int]:
        return range(1, len(self._mails) + 1)

    def _of_uids(self, text: str) -> list[int]:
        by_uid = {each.uid: number for number, each in enumerate(self._mails, 1)}
        return [by_uid[uid] for uid in chosen(text, list(by_uid))]
