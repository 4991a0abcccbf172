"""``python -m mail_oauth.testing``: the fake provider without Django."""

import argparse
import sys

from mail_oauth.testing.commandline import CannotServe, add_arguments, run


def main() -> int:
    """Parse the command line and serve; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m mail_oauth.testing", description="A fake OAuth provider.")
    add_arguments(parser)
    options = vars(parser.parse_args())
    try:
        run(options, lambda line: sys.stdout.write(f"{line}\n") and sys.stdout.flush())
    except CannotServe as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
