"""Where the help desk meets the mailbox: it reads by IMAP, and answers as the user by SMTP."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email

from example_project.helpdesk.conversations import Conversation, Letter, conversations, letter_of
from example_project.mail import MailFailed, done, told
from mail_oauth.models import MailCredentials

MOST = 50
LARGEST = 262_144
"""Octets that are read of a message: whoever attaches more is still answered."""


def read(mailbox: MailCredentials) -> list[Conversation]:
    """Return the conversations of the newest messages. Raises `MailFailed`."""
    return conversations(_letters(mailbox), mailbox.email)


def answer(mailbox: MailCredentials, conversation: Conversation, text: str) -> str:
    """Send an answer from the mailbox, and return to whom it went. Raises `MailFailed`.

    A blind copy comes back to the inbox: it is all that the desk reads, and so every server's answers are seen there.
    """
    question = conversation.question
    try:
        validate_email(question.answer_to)
    except ValidationError:
        raise MailFailed("This message names no address that could be answered.") from None
    subject = question.subject if question.subject.lower().startswith("re:") else f"Re: {question.subject}"
    message = EmailMessage(
        subject,
        text,
        from_email=mailbox.email,
        to=[question.answer_to],
        bcc=[mailbox.email],
        headers={"In-Reply-To": question.id, "References": " ".join((*question.follows, question.id))},
    )
    with told():
        mailbox.email_connection().send_messages([message])
    return question.answer_to


def _letters(mailbox: MailCredentials) -> list[Letter]:
    with told(), mailbox.imap() as imap:
        count = int(done(imap.select("INBOX", readonly=True))[0] or 0)
        if count == 0:
            return []
        parts = done(imap.fetch(f"{max(count - MOST, 0) + 1}:{count}", f"(BODY.PEEK[]<0.{LARGEST}>)"))
    return [letter_of(part[1]) for part in parts if isinstance(part, tuple)]
