"""A tiny help desk: the mail of a connected mailbox as conversations, which its user answers. It keeps nothing itself."""
