"""For Django's own `TestCase`: a mixin with a running fake provider."""

from typing import TYPE_CHECKING, Any, ClassVar
from unittest import TestCase

from mail_oauth.testing.clock import MovableClock, moved_clock
from mail_oauth.testing.configuring import configured
from mail_oauth.testing.factories import make_mailbox
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.secrecy import assert_no_secrets

if TYPE_CHECKING:
    from django.test import SimpleTestCase as Case

    from mail_oauth.models import MailCredentials
else:
    Case = object


class FakeProviderMixin(Case):
    """Stands before `TestCase` or `TransactionTestCase`.

    ::

        class InboxTests(FakeProviderMixin, TestCase):
            def test_it(self):
                mailbox = self.connect_mailbox()

    Every provider of the settings leads to ``self.fake_provider``, a server of the class, in `setUpTestData` too; each
    test finds it as the class began. `mail_oauth_changes` are keys of `MAIL_OAUTH` for these tests.
    """

    fake_provider: ClassVar[FakeProvider]
    mail_oauth_changes: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **how: Any) -> None:
        """Refuse to stand behind `TestCase`, whose `setUpClass` would never call this one's (`TypeError`)."""
        super().__init_subclass__(**how)
        for each in cls.__mro__[: cls.__mro__.index(FakeProviderMixin)]:
            if TestCase in each.__mro__ and FakeProviderMixin not in each.__mro__:
                raise TypeError(f"Swap the bases: class {cls.__name__}(FakeProviderMixin, {each.__name__}).")

    @classmethod
    def setUpClass(cls) -> None:
        """Start the provider, and lead the settings' providers to it."""
        cls.fake_provider = FakeProvider().start()
        cls.addClassCleanup(cls.fake_provider.stop)
        cls.enterClassContext(configured(cls.fake_provider, **cls.mail_oauth_changes))
        super().setUpClass()

    def setUp(self) -> None:
        """Lead the providers of a class's own ``override_settings`` to it, too, and leave nothing for the next test."""
        self.enterContext(configured(self.fake_provider, **self.mail_oauth_changes))
        super().setUp()

    def connect_mailbox(self, **how: Any) -> "MailCredentials":
        """A connected mailbox; see `make_mailbox` for what ``how`` may be."""
        return make_mailbox(self.fake_provider, **how)

    def move_clock(self) -> MovableClock:
        """A clock that can be set forward until the test's end; see `moved_clock`."""
        return self.enterContext(moved_clock())

    def assert_no_secrets(self, *written: object) -> None:
        """Fail where any of ``written`` holds a secret of the provider; see `secrecy.assert_no_secrets`."""
        assert_no_secrets(self.fake_provider, *written)
